import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { call } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const SAMPLE = new URL('../../standins/sample', import.meta.url).pathname;
const GEMINI = join(
  dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')),
  'bundle/gemini.js',
);
const PER_REQUEST = '`gemini -p` per request';
const AT_ONCE = 20;
/** Time in which a spare agent gets ready. */
const SPARE_MS = 10_000;

export const firstWord: Row = {
  name: 'first-word',
  title: 'First word of `chat`',
  async measure(lab) {
    const contest = await settle(lab);
    const { warm, fresh, cold, alone } = contest;
    await warm();
    const measured = await interleave(lab.short ? 2 : 5, { warm, fresh, cold, alone });
    const yardstick = { name: PER_REQUEST, value: median(measured.alone) };
    const figure = (what: string, times: number[], goal: number): Figure => {
      return { what, unit: 'ms', ours: median(times), yardstick, reach: { times: goal } };
    };
    const figures = [
      figure('ticket whose agent is warm', measured.warm, 40),
      figure('first command of a ticket', measured.fresh, 10),
      figure('everything cold', measured.cold, 1.3),
    ];
    const together = await interleave(1, {
      cold: () => all(contest.together),
      warm: () => all(contest.together),
      alone: () => all(() => alone()),
    });
    for (const name of ['cold', 'warm'] as const) {
      const last = { name: `${AT_ONCE} × ${PER_REQUEST}`, value: together.alone[0] ?? 0 };
      const what = `last of ${AT_ONCE} tickets at once, ${name}`;
      figures.push({ what, unit: 'ms', ours: together[name][0] ?? 0, yardstick: last, reach: { times: 1 } });
    }
    return figures;
  },
};

async function settle(lab: Lab) {
  const { github, gemini, env } = await lab.standIns();
  await github.addRepository('acme/duration', { from: SAMPLE });
  gemini.on(/./s, [{ text: ['Words ', 'of a model that need not think.'] }]);
  const limits = { MAX_CONCURRENT_RUNS: '20', AGENT_START_SECONDS: '600' };
  const server = await lab.server({ ...lab.settings(), ...env, ...limits });
  const home = join(lab.dir, 'home');
  await mkdir(join(home, '.gemini'), { recursive: true });
  const settings = {
    security: { auth: { selectedType: 'gemini-api-key' } },
    privacy: { usageStatisticsEnabled: false },
  };
  await writeFile(join(home, '.gemini/settings.json'), JSON.stringify(settings));
  let tickets = 0;
  const ticket = async (at: Server) => {
    tickets += 1;
    const id = `T-${tickets}`;
    await call(at.url, 'POST', '/v1/tickets', { ticket_id: id, repo_url: 'https://github.com/acme/duration' });
    return id;
  };
  const kept = await ticket(server);
  const many: string[] = [];
  for (let index = 0; index < AT_ONCE; index++) many.push(await ticket(server));

  return {
    warm: () => ask(server, kept),
    async fresh() {
      const id = await ticket(server);
      await pause(SPARE_MS);
      return ask(server, id);
    },
    /** A server that has just been started. */
    async cold() {
      const other = await lab.server({ ...lab.settings('cold'), ...env, ...limits });
      const id = await ticket(other);
      const took = await ask(other, id);
      await other.stop();
      return took;
    },
    together: (index: number) => ask(server, many[index] ?? ''),
    alone: () => perRequest(home, gemini.environment()),
  };
}

/** From the request until the first text of the agent is there, in milliseconds. */
async function ask(server: Server, ticketId: string): Promise<number> {
  const begun = performance.now();
  const response = await fetch(`${server.url}/command`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket_id: ticketId, action: 'chat', message: 'Say something.' }),
  });
  let first: number | undefined;
  let text = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes('Words ')) first ??= performance.now() - begun;
  }
  if (first === undefined) throw new Error(`no word came: ${text}`);
  return first;
}

/** A new process of the agent, with its own settings, from its start until its first text. */
async function perRequest(home: string, env: Record<string, string>): Promise<number> {
  const begun = performance.now();
  const args = [GEMINI, '-p', 'Say something.', '-o', 'stream-json', '-m', 'gemini-2.5-pro', '--skip-trust'];
  const child = spawn(process.execPath, args, {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let first: number | undefined;
  let text = '';
  for await (const chunk of child.stdout) {
    text += chunk;
    if (text.includes('Words ')) first ??= performance.now() - begun;
  }
  if (first === undefined) throw new Error(`gemini said nothing: ${text}`);
  return first;
}

/** All at once; how long the last one's first word took. */
async function all(work: (index: number) => Promise<number>): Promise<number> {
  return Math.max(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => work(index)))));
}
