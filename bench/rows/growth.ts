import { openStream, requestsPerSecond } from '../clients.ts';
import type { Lab } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { seed } from '../seed.ts';
import { median } from '../statistics.ts';

const EVENTS = 1_000_000;

export const growth: Row = {
  name: 'growth',
  title: 'Growth',
  async measure(lab) {
    const [small, middle, large] = [
      await look(lab, 10, 1000),
      await look(lab, 1000, 1000),
      await look(lab, 100_000, EVENTS),
    ];
    const figures: Figure[] = [];
    for (const name of Object.keys(small)) {
      const [few = 0, some = 0, many = 0] = [small[name], middle[name], large[name]];
      figures.push(
        { what: `${name}, 1,000 tickets`, unit: 'ms', ours: some, yardstick: { name: '10 tickets', value: few } },
        {
          what: `${name}, 100,000 tickets, run of 1,000,000 events`,
          unit: 'ms',
          ours: many,
          yardstick: { name: '10 tickets', value: few },
          reach: { within: 2 },
        },
      );
    }
    return figures;
  },
};

/** Times in milliseconds on a store of some size. */
async function look(lab: Lab, tickets: number, events: number): Promise<Record<string, number>> {
  const settings = lab.settings(`growth-${tickets}`);
  const runId = await seed(settings.DATA_DIR ?? '', { tickets, events, bytes: 100 });
  const { env } = await lab.standIns(`world-${tickets}`);
  const begun = performance.now();
  const server = await lab.server({ ...settings, ...env });
  const started = performance.now() - begun;
  const each = async (path: string) => {
    await requestsPerSecond(server.url + path, 1, 0.5);
    return 1000 / (await requestsPerSecond(server.url + path, 1, 2));
  };
  const times = {
    'start to listening': started,
    'first page of tickets': await each('/v1/tickets?limit=20'),
    'tickets in a state': await each('/v1/tickets?limit=20&state=ready'),
    'first page of runs': await each('/v1/runs?limit=20'),
    'runs of a ticket': await each('/v1/tickets/T-7/runs'),
    'a ticket': await each('/v1/tickets/T-7'),
    'a run': await each(`/v1/runs/${runId}`),
    'stream resumed near the end of the run': await resume(`${server.url}/v1/runs/${runId}/events`, events - 10),
  };
  await server.stop();
  return times;
}

async function resume(url: string, after: number): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 50; round++) {
    const begun = performance.now();
    await (await openStream(`${url}?after=${after}`)).ended;
    times.push(performance.now() - begun);
  }
  return median(times);
}
