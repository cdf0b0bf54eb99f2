import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS, type ServerUser } from '../helpers/users.ts';
import { enterArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import { CLIENT_ATTACKS } from './client-attacks.ts';
import { tryToLeave } from './egress-arena.ts';
import { EGRESS_ATTACKS } from './egress-attacks.ts';

/**
 * The attacks of clients on the same server without the one defence that is in the way of each, and those of programs in
 * the sandbox on the same proxy. Prints what each
 * achieves; fails when one achieves nothing, since then the test of it proves nothing. Not part of the suite: it makes
 * the attacks, all of them in a folder of its own and on loopback, but for those that have a reason not to be.
 * @param argv words of the names of attacks, to try only some
 */
const wanted = process.argv.slice(2);
const chosen = CLIENT_ATTACKS.filter(({ name }) => wanted.every((word) => name.includes(word)));
const tried = chosen.filter(({ notProved }) => notProved === undefined);

async function proves(attack: ClientAttack, user: ServerUser): Promise<boolean> {
  const cleaning: (() => unknown)[] = [];
  const owner = { teardown: (work: () => unknown) => void cleaning.unshift(work) };
  try {
    const world = await makeWorld(owner);
    const arena = await enterArena(owner, world, [attack.given ?? {}, attack.without ?? {}], user);
    return await attack.harm(arena);
  } finally {
    for (const work of cleaning) await work();
  }
}

const leaving = EGRESS_ATTACKS.filter(({ name }) => wanted.every((word) => name.includes(word)));
const proofs = [
  ...tried.flatMap((attack) =>
    SERVER_USERS.filter(({ skip }) => skip === false).map((user) => ({
      name: `${attack.name} (${user.name})`,
      prove: () => proves(attack, user),
    })),
  ),
  ...leaving.map((attack) => ({
    name: attack.name,
    prove: async () => attack.harm.test((await tryToLeave(attack, attack.without)).dialed),
  })),
];

let fired = 0;
for (const { name, prove } of proofs) {
  const [harm, why = ''] = await prove().then(
    (done) => [done] as const,
    (error) => [false, ` (${error})`] as const,
  );
  if (harm) fired += 1;
  console.log(`${harm ? 'FIRED  ' : 'nothing'}  ${name}${why}`);
}
for (const { name, notProved } of chosen) if (notProved !== undefined) console.log(`skipped  ${name}: ${notProved}`);
console.log(`${fired} of ${proofs.length} attacks fired`);
if (fired < proofs.length) process.exitCode = 1;
