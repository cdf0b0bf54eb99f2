import { makeWorld } from '../helpers/server.ts';
import { enterArena } from './client-arena.ts';
import { CLIENT_ATTACKS, type ClientAttack } from './client-attacks.ts';

/**
 * The attacks of the table on the same server without the one defence that is in the way of each. Prints what each
 * achieves; fails when one achieves nothing, since then the test of it proves nothing. Not part of the suite: it makes
 * the attacks, all of them in a folder of its own and on loopback, but for those that have a reason not to be.
 * @param argv words of the names of attacks, to try only some
 */
const wanted = process.argv.slice(2);
const chosen = CLIENT_ATTACKS.filter(({ name }) => wanted.every((word) => name.includes(word)));
const tried = chosen.filter(({ notProved }) => notProved === undefined);

async function proves(attack: ClientAttack): Promise<boolean> {
  const cleaning: (() => unknown)[] = [];
  const owner = { teardown: (work: () => unknown) => void cleaning.unshift(work) };
  try {
    const world = await makeWorld(owner);
    const arena = await enterArena(owner, world, [attack.given ?? {}, attack.without ?? {}]);
    return await attack.harm(arena);
  } finally {
    for (const work of cleaning) await work();
  }
}

let fired = 0;
for (const attack of tried) {
  const [harm, why = ''] = await proves(attack).then(
    (done) => [done] as const,
    (error) => [false, ` (${error})`] as const,
  );
  if (harm) fired += 1;
  console.log(`${harm ? 'FIRED  ' : 'nothing'}  ${attack.name}${why}`);
}
for (const { name, notProved } of chosen) if (notProved !== undefined) console.log(`skipped  ${name}: ${notProved}`);
console.log(`${fired} of ${tried.length} attacks fired`);
if (fired < tried.length) process.exitCode = 1;
