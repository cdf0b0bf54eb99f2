import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS, type ServerUser } from '../helpers/users.ts';
import { enterArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import { CLIENT_ATTACKS } from './client-attacks.ts';
import { attackProxy } from './egress-arena.ts';
import { EGRESS_ATTACKS } from './egress-attacks.ts';

/**
 * Runs each attack of clients, and of programs in the sandbox on the egress proxy, without the one defence against
 * it. Prints the result of each, and fails when an attack does no harm: its test would prove nothing. Not part of the
 * suite, because the attacks are real. They stay in a temporary folder and on loopback; attacks that cannot are skipped.
 * @param argv words that the names of the selected attacks contain
 */
const wanted = process.argv.slice(2);
const chosen = CLIENT_ATTACKS.filter(({ name }) => wanted.every((word) => name.includes(word)));
const selected = chosen.filter(({ skipProof }) => skipProof === undefined);

async function succeeds(attack: ClientAttack, user: ServerUser): Promise<boolean> {
  const cleanups: (() => unknown)[] = [];
  const owner = { teardown: (task: () => unknown) => void cleanups.unshift(task) };
  try {
    const world = await makeWorld(owner);
    const arena = await enterArena(owner, world, [attack.given ?? {}, attack.without ?? {}], user);
    return await attack.harm(arena);
  } finally {
    for (const task of cleanups) await task();
  }
}

const onProxy = EGRESS_ATTACKS.filter(({ name }) => wanted.every((word) => name.includes(word)));
const proofs = [
  ...selected.flatMap((attack) =>
    SERVER_USERS.filter(({ skip }) => skip === false).map((user) => ({
      name: `${attack.name} (${user.name})`,
      prove: () => succeeds(attack, user),
    })),
  ),
  ...onProxy.map((attack) => ({
    name: attack.name,
    prove: async () => attack.harm.test((await attackProxy(attack, attack.without)).dialed),
  })),
];

let succeeded = 0;
for (const { name, prove } of proofs) {
  const [harm, why = ''] = await prove().then(
    (done) => [done] as const,
    (error) => [false, ` (${error})`] as const,
  );
  if (harm) succeeded += 1;
  console.log(`${harm ? 'SUCCEEDED' : 'no harm  '}  ${name}${why}`);
}
for (const { name, skipProof } of chosen) if (skipProof !== undefined) console.log(`skipped    ${name}: ${skipProof}`);
console.log(`${succeeded} of ${proofs.length} attacks succeeded`);
if (succeeded < proofs.length) process.exitCode = 1;
