import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { call } from './clients.ts';
import type { Lab, Server } from './lab.ts';

const SAMPLE = fileURLToPath(new URL('../standins/sample', import.meta.url));
const GEMINI = join(
  dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')),
  'bundle/gemini.js',
);
/** Time for a spare agent to start. */
const SPARE_START_MS = 10_000;

/** Chunks of the model's immediate answer. */
export const WORDS = ['Words ', 'of a stand-in model.'] as const;

/** Starts a server with the real agent. The returned functions measure the milliseconds to the first word of an answer. */
export async function setUpChats(lab: Lab, settings: Record<string, string> = {}) {
  const { github, gemini, env } = await lab.standIns();
  await github.addRepository('acme/duration', { from: SAMPLE });
  gemini.on(/./s, [{ text: WORDS }]);
  const limits = { MAX_CONCURRENT_RUNS: '20', AGENT_START_SECONDS: '600', ...settings };
  const server = await lab.server({ ...lab.settings(), ...env, ...limits });
  let tickets = 0;
  const ticket = async (at: Server) => {
    tickets += 1;
    const id = `T-${tickets}`;
    await call(at.url, 'POST', '/v1/tickets', { ticket_id: id, repo_url: 'https://github.com/acme/duration' });
    return id;
  };
  const warmTicket = await ticket(server);
  await ask(server, warmTicket);
  const perRequest = await createPerRequest(lab, gemini.environment());

  return {
    server,
    model: gemini.environment(),
    ticket: () => ticket(server),
    ask: (ticketId: string) => ask(server, ticketId),
    /** On a ticket whose agent has answered before. */
    warm: () => ask(server, warmTicket),
    /** On a new ticket, with a spare agent ready. */
    async fresh() {
      const id = await ticket(server);
      await pause(SPARE_START_MS);
      return ask(server, id);
    },
    /** On a server that has just started. */
    async cold() {
      const other = await lab.server({ ...lab.settings('cold'), ...env, ...limits });
      const elapsed = await ask(other, await ticket(other));
      await other.stop();
      return elapsed;
    },
    /** With an agent process for this question alone. */
    perRequest,
  };
}

/** Measures the time from the request to the first text of the agent. Returns when the run has finished. */
async function ask(server: Server, ticketId: string): Promise<number> {
  const startedAt = performance.now();
  const message = { action: 'chat', message: 'Say something.' };
  const { body } = await call(server.url, 'POST', `/v1/tickets/${ticketId}/runs`, message);
  const events = await fetch(`${server.url}/v1/runs/${body.run_id}/events`);
  return (await readUntilFirstWord(events.body, startedAt)).elapsed;
}

async function createPerRequest(lab: Lab, model: Record<string, string>): Promise<() => Promise<number>> {
  const home = join(lab.dir, 'home');
  await mkdir(join(home, '.gemini'), { recursive: true });
  const settings = {
    security: { auth: { selectedType: 'gemini-api-key' } },
    privacy: { usageStatisticsEnabled: false },
  };
  await writeFile(join(home, '.gemini/settings.json'), JSON.stringify(settings));
  return async () => {
    const startedAt = performance.now();
    const args = [GEMINI, '-p', 'Say something.', '-o', 'stream-json', '-m', 'gemini-2.5-pro', '--skip-trust'];
    const child = spawn(process.execPath, args, {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home, ...model },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return (await readUntilFirstWord(Readable.toWeb(child.stdout), startedAt)).elapsed;
  };
}

/**
 * Reads a stream to its end, or until `isComplete` accepts the text so far.
 * @returns `elapsed`, milliseconds from `startedAt` to the first of the words
 */
export async function readUntilFirstWord(
  body: ReadableStream | null,
  startedAt: number,
  isComplete?: (text: string) => boolean,
): Promise<{ elapsed: number; text: string }> {
  let text = '';
  let elapsed: number | undefined;
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes(WORDS[0])) elapsed ??= performance.now() - startedAt;
    if (elapsed !== undefined && isComplete?.(text)) break;
  }
  if (elapsed === undefined) throw new Error(`no word arrived: ${text.slice(-2000)}`);
  return { elapsed, text };
}
