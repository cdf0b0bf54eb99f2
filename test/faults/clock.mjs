import { readFileSync } from 'node:fs';

/**
 * Loaded into a server before it starts. On SIGWINCH, it shifts the wall clock by the seconds in the file `clock` of the
 * working folder. Monotonic clocks and timers stay, as on a real machine.
 */
const RealDate = Date;
let offset = 0;

process.on('SIGWINCH', () => {
  offset = Number(readFileSync('clock', 'utf8')) * 1000;
});

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [RealDate.now() + offset] : args, newTarget),
  apply: () => new RealDate(RealDate.now() + offset).toString(),
  get: (target, name) => (name === 'now' ? () => RealDate.now() + offset : Reflect.get(target, name)),
});
