import t from 'tap';
import { call } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS } from '../helpers/users.ts';
import { type ClientArena, enterArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import { CLIENT_ATTACKS } from './client-attacks.ts';

/**
 * Runs every attack of the table on the real server, for each user.
 * `node test/attacks/prove-client-attacks.ts` shows that the attacks succeed without the defences.
 */
t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(`clients attack a server of the user ${user.name}`, { skip: user.skip, buffered: true }, async (t) => {
    const world = await makeWorld(t);
    const arenas = new Map<unknown, ClientArena>();

    /** Attacks under the same conditions share a server, unless they make it unusable. */
    async function arenaOf({ alone, given }: ClientAttack): Promise<ClientArena> {
      const present = alone ? undefined : arenas.get(given);
      if (present !== undefined) return present;
      const arena = await enterArena(t, world, [given ?? {}], user);
      if (!alone) arenas.set(given, arena);
      return arena;
    }

    for (const attack of CLIENT_ATTACKS) {
      t.test(attack.name, async (t) => {
        const arena = await arenaOf(attack);
        t.notOk(await attack.harm(arena), attack.by);
        if (attack.alone) await arena.server.stop();
        else t.equal((await call(arena.server, 'GET', '/livez')).status, 200, 'the server still answers');
      });
    }
  });
}
