import t from 'tap';
import { SERVER_USERS } from '../helpers/users.ts';
import { startRaceArena } from './race-arena.ts';
import { RACE_ATTACKS } from './race-attacks.ts';

/**
 * Runs every race of the table against a server of each user. `node test/attacks/prove-race-attacks.ts` shows that
 * the races can be won without the confinement.
 */
t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(
    `an agent of a server of the user ${user.name} wins no race`,
    { skip: user.skip, buffered: true },
    async (t) => {
      const { arena, isHarm } = await startRaceArena(t, user);
      for (const { name, times, attempt } of RACE_ATTACKS) {
        let harm = false;
        for (let time = 0; time < times && !harm; time += 1) harm = await isHarm(await attempt(arena));
        t.notOk(harm, `the server ${name} without harm`);
      }
    },
  );
}
