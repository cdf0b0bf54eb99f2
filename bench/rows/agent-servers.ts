import { setTimeout as pause } from 'node:timers/promises';
import { settleChats } from '../chats.ts';
import { startA2a } from '../peers/a2a.ts';
import { startOpencode } from '../peers/opencode.ts';
import { installPeers } from '../peers/peer.ts';
import type { Figure, Reach, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const WARM = 'ticket whose agent is warm';
const FRESH = 'first command of a ticket';

/** Both keep one process for all that they do, without walls, and with nothing that outlives it. */
export const agentServers: Row = {
  name: 'agent-servers',
  title: 'First word of `chat`, beside agent servers of others',
  byName: true,
  async measure(lab) {
    const { warm, fresh, model } = await settleChats(lab);
    const modules = await installPeers();
    const a2a = await startA2a(lab, modules, model);
    const opencode = await startOpencode(lab, modules);
    // They are slow with their first words.
    for (const peer of [a2a, opencode]) await peer.fresh();
    // Apart from what takes long: each was used a few seconds before, since one that was not for longer wakes up slowly.
    const warmed = await interleave(lab.short ? 4 : 20, {
      ours: rested(warm),
      a2a: rested(a2a.followUp),
      opencode: rested(opencode.followUp),
    });
    const begun = await interleave(lab.short ? 2 : 7, {
      ours: rested(fresh),
      a2a: rested(a2a.fresh),
      opencode: rested(opencode.fresh),
    });
    const figure = (what: string, times: number[], name: string, yardstick: number[], reach?: Reach): Figure => {
      const value = median(yardstick);
      return { what, unit: 'ms', ours: median(times), yardstick: { name, value }, ...(reach && { reach }) };
    };
    return [
      figure(WARM, warmed.ours, 'a2a-server, further message', warmed.a2a, { within: 1 }),
      figure(FRESH, begun.ours, 'a2a-server, new task', begun.a2a, { within: 2 }),
      figure(WARM, warmed.ours, '`opencode serve`, further message', warmed.opencode),
      figure(FRESH, begun.ours, '`opencode serve`, new session', begun.opencode),
    ];
  },
};

/** Once the one before has done what it does after its answer. */
function rested(ask: () => Promise<number>): () => Promise<number> {
  return async () => {
    await pause(1000);
    return ask();
  };
}
