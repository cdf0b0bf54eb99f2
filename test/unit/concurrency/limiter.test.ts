import t from 'tap';
import { createLimiter } from '../../../src/concurrency/limiter.ts';

t.test('createLimiter() starts at most the given number of tasks at once', async (t) => {
  const run = createLimiter(1);
  const first = Promise.withResolvers<void>();
  const order: string[] = [];
  const { signal } = new AbortController();
  const task = (name: string, until?: Promise<void>) => async () => {
    order.push(name);
    await until;
  };
  const running = run(task('a', first.promise), signal);
  const controller = new AbortController();
  const aborted = run(task('b'), controller.signal);
  const waiting = run(task('c'), signal);
  controller.abort(new Error('gave up'));
  await t.rejects(aborted, { message: 'gave up' });
  t.same(order, ['a']);
  first.resolve();
  await Promise.all([running, waiting]);
  await t.rejects(
    run(async () => Promise.reject(new Error('failed')), signal),
    { message: 'failed' },
  );
  await run(task('d'), signal);
  t.same(order, ['a', 'c', 'd'], 'a failed task releases its slot');
});
