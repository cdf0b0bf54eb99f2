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
    const measured = await interleave(lab.short ? 2 : 7, {
      warm,
      a2aFollowUp: a2a.followUp,
      opencodeFollowUp: opencode.followUp,
      fresh,
      a2aFresh: a2a.fresh,
      opencodeFresh: opencode.fresh,
    });
    const figure = (what: string, times: number[], name: string, yardstick: number[], reach?: Reach): Figure => {
      const value = median(yardstick);
      return { what, unit: 'ms', ours: median(times), yardstick: { name, value }, ...(reach && { reach }) };
    };
    return [
      figure(WARM, measured.warm, 'a2a-server, further message', measured.a2aFollowUp, { within: 1 }),
      figure(FRESH, measured.fresh, 'a2a-server, new task', measured.a2aFresh, { within: 2 }),
      figure(WARM, measured.warm, '`opencode serve`, further message', measured.opencodeFollowUp),
      figure(FRESH, measured.fresh, '`opencode serve`, new session', measured.opencodeFresh),
    ];
  },
};
