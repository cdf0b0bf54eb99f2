import t from 'tap';
import { call } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { type ClientArena, enterArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import { CLIENT_ATTACKS } from './client-attacks.ts';

/**
 * Every attack of the table on the real server. That they work without the defences is seen by
 * `node test/attacks/prove-client-attacks.ts`.
 */
const world = await makeWorld(t);
const arenas = new Map<unknown, ClientArena>();

/** Attacks under the same conditions share a server, unless they spoil it. */
async function arenaOf({ alone, given }: ClientAttack): Promise<ClientArena> {
  const present = alone ? undefined : arenas.get(given);
  if (present !== undefined) return present;
  const arena = await enterArena(t, world, [given ?? {}]);
  if (!alone) arenas.set(given, arena);
  return arena;
}

for (const attack of CLIENT_ATTACKS) {
  t.test(attack.name, async (t) => {
    const arena = await arenaOf(attack);
    t.notOk(await attack.harm(arena), attack.by);
    if (attack.alone) await arena.server.stop();
    else t.equal((await call(arena.server, 'GET', '/livez')).status, 200, 'the server lives');
  });
}
