import { readFileSync } from 'node:fs';

/**
 * Loaded into a server before it starts: on SIGWINCH, which nobody else uses, its wall clock is off by as many seconds as the file `clock` in its
 * folder says. Monotonic clocks and timers are not touched, as on a real machine.
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
