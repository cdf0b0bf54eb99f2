import { readFile, writeFile } from 'node:fs/promises';
import { createMetrics } from '../src/telemetry/metrics.ts';

/** The table of metrics in `docs/observability.md`. With `--check`, writes nothing and fails when it is not up to date. */

const FILE = new URL('../docs/observability.md', import.meta.url);
const PLACE = /(<!-- metrics[^>]*-->\n)[\s\S]*?(<!-- \/metrics -->)/;

function table(): string {
  const rows = createMetrics('')
    .registry.getMetricsAsArray()
    .filter(({ name }) => name.startsWith('pullwright_'))
    .map((metric) => {
      const labels = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames : [];
      const named = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${metric.name}\` | ${metric.type} | ${named} | ${metric.help} |\n`;
    });
  return `\n| metric | type | labels | what |\n| --- | --- | --- | --- |\n${rows.join('')}\n`;
}

const text = await readFile(FILE, 'utf8');
if (!PLACE.test(text)) throw new Error('docs/observability.md has no place for the metrics.');
const made = text.replace(PLACE, (_, begin: string, end: string) => `${begin}${table()}${end}`);
if (!process.argv.includes('--check')) await writeFile(FILE, made);
else if (made !== text) {
  console.error('docs/observability.md is not up to date. Run: npm run docs');
  process.exit(1);
}
