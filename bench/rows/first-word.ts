import { settleChats } from '../chats.ts';
import { call } from '../clients.ts';
import type { Server } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const PER_REQUEST = '`gemini -p` per request';
const AT_ONCE = 20;
/** Of all agents together, idle ones being ended above it: the setting AGENT_POOL_MEMORY_MB. */
const LIMIT_MB = 4000;

export const firstWord: Row = {
  name: 'first-word',
  title: 'First word of `chat`',
  async measure(lab) {
    const { server, ticket, ask, warm, fresh, cold, perRequest } = await settleChats(lab, {
      AGENT_POOL_MEMORY_MB: `${LIMIT_MB}`,
    });
    const measured = await interleave(lab.short ? 2 : 5, { warm, fresh, cold, perRequest });
    const yardstick = { name: PER_REQUEST, value: median(measured.perRequest) };
    const figure = (what: string, times: number[], goal: number): Figure => {
      return { what, unit: 'ms', ours: median(times), yardstick, reach: { times: goal } };
    };
    const figures = [
      figure('ticket whose agent is warm', measured.warm, 40),
      figure('first command of a ticket', measured.fresh, 10),
      figure('everything cold', measured.cold, 1.3),
    ];

    const tickets: string[] = [];
    for (let index = 0; index < AT_ONCE; index++) tickets.push(await ticket());
    const together = await interleave(1, {
      cold: () => lastOf(tickets.map(ask)),
      warm: () => lastOf(tickets.map(ask)),
      perRequest: () => lastOf(tickets.map(perRequest)),
    });
    for (const name of ['cold', 'warm'] as const) {
      const last = { name: `${AT_ONCE} × ${PER_REQUEST}`, value: median(together.perRequest) };
      const what = `last of ${AT_ONCE} tickets at once, ${name}`;
      figures.push({ what, unit: 'ms', ours: median(together[name]), yardstick: last, reach: { times: 1 } });
    }
    figures.push({
      what: 'memory of all agents then',
      unit: 'MB',
      ours: await poolMemory(server),
      reach: { atMost: LIMIT_MB },
    });
    return figures;
  },
};

async function poolMemory({ url }: Server): Promise<number> {
  const text = JSON.stringify((await call(url, 'GET', '/v1/agents')).body);
  return Number(/"memory_mb":(\d+)/.exec(text)?.[1]);
}

async function lastOf(times: Promise<number>[]): Promise<number> {
  return Math.max(...(await Promise.all(times)));
}
