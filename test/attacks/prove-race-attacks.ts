import { SERVER_USERS } from '../helpers/users.ts';
import { startRaceArena, UNCONFINED } from './race-arena.ts';
import { RACE_ATTACKS } from './race-attacks.ts';

/**
 * Runs the races of the table against a server whose own programs are not confined. Prints the result of each, and
 * fails when one is lost: its test would prove nothing. Not part of the suite, because the attacks are real. They stay in
 * a temporary folder.
 */
/** Factor of the attempts of the test, because a race is won by chance. */
const ATTEMPTS_FACTOR = 10;

let succeeded = 0;
let tried = 0;
for (const user of SERVER_USERS.filter(({ skip }) => skip === false)) {
  const cleanups: (() => unknown)[] = [];
  try {
    const owner = { teardown: (task: () => unknown) => void cleanups.unshift(task) };
    const { arena, isHarm } = await startRaceArena(owner, user, [UNCONFINED]);
    for (const { name, times, attempt, skipProof } of RACE_ATTACKS) {
      if (skipProof !== undefined) {
        await attempt(arena);
        console.log(`skipped    ${name}: ${skipProof}`);
        continue;
      }
      tried += 1;
      let time = 0;
      let harm = false;
      while (time < ATTEMPTS_FACTOR * times && !harm) {
        harm = await isHarm(await attempt(arena));
        time += 1;
      }
      if (harm) succeeded += 1;
      console.log(`${harm ? 'SUCCEEDED' : 'no harm  '}  ${name}, as ${user.name}: ${time} times`);
    }
  } finally {
    for (const task of cleanups) await task();
  }
}
console.log(`${succeeded} of ${tried} races were won`);
if (succeeded < tried) process.exitCode = 1;
