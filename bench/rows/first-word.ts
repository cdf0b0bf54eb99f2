import { setUpChats } from '../chats.ts';
import { call } from '../clients.ts';
import type { Server } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const PER_REQUEST = '`gemini -p` per request';
const CONCURRENCY = 20;
/** The setting AGENT_POOL_MEMORY_MB: memory of all agents, above which idle ones are evicted. */
const LIMIT_MB = 4000;

export const firstWord: Row = {
  name: 'first-word',
  title: 'First word of `chat`',
  async measure(lab) {
    const { server, ticket, ask, warm, fresh, cold, perRequest } = await setUpChats(lab, {
      AGENT_POOL_MEMORY_MB: `${LIMIT_MB}`,
    });
    const measured = await interleave(lab.short ? 2 : 5, { warm, fresh, cold, perRequest });
    const yardstick = { name: PER_REQUEST, value: median(measured.perRequest) };
    const figure = (what: string, times: number[], goal: number): Figure => {
      return { what, unit: 'ms', ours: median(times), yardstick, goal: { times: goal } };
    };
    const figures = [
      figure('ticket with a warm agent', measured.warm, 40),
      figure('first command of a ticket', measured.fresh, 10),
      figure('cold start', measured.cold, 1.3),
    ];

    const tickets: string[] = [];
    for (let index = 0; index < CONCURRENCY; index++) tickets.push(await ticket());
    const concurrent = await interleave(1, {
      cold: () => lastOf(tickets.map(ask)),
      warm: () => lastOf(tickets.map(ask)),
      perRequest: () => lastOf(tickets.map(perRequest)),
    });
    for (const name of ['cold', 'warm'] as const) {
      const last = { name: `${CONCURRENCY} × ${PER_REQUEST}`, value: median(concurrent.perRequest) };
      const what = `last of ${CONCURRENCY} tickets at once, ${name}`;
      figures.push({ what, unit: 'ms', ours: median(concurrent[name]), yardstick: last, goal: { times: 1 } });
    }
    figures.push({
      what: 'memory of all agents',
      unit: 'MB',
      ours: await poolMemory(server),
      goal: { atMost: LIMIT_MB },
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
