import { setTimeout as pause } from 'node:timers/promises';
import { setUpChats } from '../chats.ts';
import { startA2a } from '../peers/a2a.ts';
import { startOpencode } from '../peers/opencode.ts';
import { installPeers } from '../peers/peer.ts';
import type { Figure, Goal, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const WARM = 'ticket with a warm agent';
const FRESH = 'first command of a ticket';

/** The other servers run one process for all conversations, without isolation and persistence. */
export const agentServers: Row = {
  name: 'agent-servers',
  title: 'First word of `chat`, beside other agent servers',
  onlyByName: true,
  async measure(lab) {
    const { warm, fresh, model } = await setUpChats(lab);
    const modules = await installPeers();
    const a2a = await startA2a(lab, modules, model);
    const opencode = await startOpencode(lab, modules);
    // Their first answers are slow.
    for (const peer of [a2a, opencode]) await peer.fresh();
    // Apart from the slow rounds, because an agent that was idle for longer answers later.
    const followUps = await interleave(lab.short ? 4 : 20, {
      ours: rested(warm),
      a2a: rested(a2a.followUp),
      opencode: rested(opencode.followUp),
    });
    const firsts = await interleave(lab.short ? 2 : 7, {
      ours: rested(fresh),
      a2a: rested(a2a.fresh),
      opencode: rested(opencode.fresh),
    });
    const figure = (what: string, times: number[], name: string, yardstick: number[], goal?: Goal): Figure => {
      const value = median(yardstick);
      return { what, unit: 'ms', ours: median(times), yardstick: { name, value }, ...(goal && { goal }) };
    };
    return [
      figure(WARM, followUps.ours, 'a2a-server, further message', followUps.a2a, { within: 1 }),
      figure(FRESH, firsts.ours, 'a2a-server, new task', firsts.a2a, { within: 2 }),
      figure(WARM, followUps.ours, '`opencode serve`, further message', followUps.opencode),
      figure(FRESH, firsts.ours, '`opencode serve`, new session', firsts.opencode),
    ];
  },
};

/** Waits first until the previous contestant has finished its work after an answer. */
function rested(ask: () => Promise<number>): () => Promise<number> {
  return async () => {
    await pause(1000);
    return ask();
  };
}
