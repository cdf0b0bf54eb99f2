import { makeWorld, startServerProcess } from '../helpers/server.ts';
import { withoutDefences } from './client-arena.ts';
import { effectsIn, publishWords, WITHOUT_INERT_TEXT } from './word-arena.ts';
import { LINE_ATTACKS, WORD_ATTACKS } from './word-attacks.ts';

/**
 * Runs the attacks by text on a server that forwards it unchanged. Prints where each has its effect, and fails when
 * one has none in a commit or in a pull request: its test would prove nothing. Not part of the suite.
 */
const cleanups: (() => unknown)[] = [];
const owner = { teardown: (task: () => unknown) => void cleanups.unshift(task) };
let succeeded = 0;
try {
  const world = await makeWorld(owner);
  const { nodeArgs, env } = withoutDefences({ edits: WITHOUT_INERT_TEXT });
  const server = await startServerProcess(owner, world, env, nodeArgs);
  for (const [index, attack] of [...WORD_ATTACKS, ...LINE_ATTACKS].entries()) {
    const published = await publishWords({ server, world, ticketId: `W-${index}` }, [attack], index % 2 === 0);
    const fields = Object.entries(effectsIn(published)).flatMap(([field, effects]) =>
      effects.includes(attack.effect) ? [field] : [],
    );
    const both = fields.includes('commitText') && fields.includes('body');
    if (both) succeeded += 1;
    console.log(`${both ? 'SUCCEEDED' : 'no harm  '}  ${attack.name}: ${attack.effect} in ${fields.join(', ')}`);
  }
} finally {
  for (const task of cleanups) await task();
}
const all = WORD_ATTACKS.length + LINE_ATTACKS.length;
console.log(`${succeeded} of ${all} attacks succeeded`);
if (succeeded < all) process.exitCode = 1;
