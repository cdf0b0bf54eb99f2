export { type FormatOptions, format } from './format.ts';
export { formatIso, parseIso } from './iso.ts';
export { parse } from './parse.ts';
