import { makeWorld, startServerProcess } from '../helpers/server.ts';
import { lacking } from './client-arena.ts';
import { effectsIn, publishWords, WITHOUT_INERT_TEXT } from './word-arena.ts';
import { LINE_ATTACKS, WORD_ATTACKS } from './word-attacks.ts';

/**
 * The attacks by words on a server that hands them on as they are. Prints where each has its effect; fails when one has
 * none in a commit or none in a pull request, since then the test of it proves nothing. Not part of the suite.
 */
const cleaning: (() => unknown)[] = [];
const owner = { teardown: (work: () => unknown) => void cleaning.unshift(work) };
let fired = 0;
try {
  const world = await makeWorld(owner);
  const { nodeArgs, env } = lacking({ edits: WITHOUT_INERT_TEXT });
  const server = await startServerProcess(owner, world, env, nodeArgs);
  for (const [index, attack] of [...WORD_ATTACKS, ...LINE_ATTACKS].entries()) {
    const published = await publishWords({ server, world, ticketId: `W-${index}` }, [attack], index % 2 === 0);
    const places = Object.entries(effectsIn(published)).flatMap(([place, effects]) =>
      effects.includes(attack.effect) ? [place] : [],
    );
    const both = places.includes('said') && places.includes('body');
    if (both) fired += 1;
    console.log(`${both ? 'FIRED  ' : 'nothing'}  ${attack.name}: ${attack.effect} in ${places.join(', ')}`);
  }
} finally {
  for (const work of cleaning) await work();
}
const all = WORD_ATTACKS.length + LINE_ATTACKS.length;
console.log(`${fired} of ${all} attacks fired`);
if (fired < all) process.exitCode = 1;
