import { SERVER_USERS } from '../helpers/users.ts';
import { enterRace, UNCONFINED } from './race-arena.ts';
import { RACE_ATTACKS } from './race-attacks.ts';

/**
 * The races of the table against a server whose own programs are not confined. Prints which are won; fails when one is not, since then
 * the test of it proves nothing. Not part of the suite: it makes the attacks, all of them in a folder of its own.
 */
/** A race has luck in it: more chances than in the test. */
const MORE = 10;

let fired = 0;
let tried = 0;
for (const user of SERVER_USERS.filter(({ skip }) => skip === false)) {
  const cleaning: (() => unknown)[] = [];
  try {
    const owner = { teardown: (work: () => unknown) => void cleaning.unshift(work) };
    const { arena, isHarm } = await enterRace(owner, user, [UNCONFINED]);
    for (const { name, times, attempt, notProved } of RACE_ATTACKS) {
      if (notProved !== undefined) {
        await attempt(arena);
        console.log(`skipped  ${name}: ${notProved}`);
        continue;
      }
      tried += 1;
      let time = 0;
      let harm = false;
      while (time < MORE * times && !harm) {
        harm = await isHarm(await attempt(arena));
        time += 1;
      }
      if (harm) fired += 1;
      console.log(`${harm ? 'FIRED  ' : 'nothing'}  ${name}, as ${user.name}: ${time} times`);
    }
  } finally {
    for (const work of cleaning) await work();
  }
}
console.log(`${fired} of ${tried} races were won`);
if (fired < tried) process.exitCode = 1;
