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
/** Time in which a spare agent gets ready. */
const SPARE_MS = 10_000;

/** What the model answers, at once. */
export const WORDS = ['Words ', 'of a model that need not think.'] as const;

/** A server with the real agent, and ways to be told the first word. Each gives the milliseconds until it is there. */
export async function settleChats(lab: Lab, settings: Record<string, string> = {}) {
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
  const kept = await ticket(server);
  await ask(server, kept);
  const perRequest = await createPerRequest(lab, gemini.environment());

  return {
    server,
    model: gemini.environment(),
    ticket: () => ticket(server),
    ask: (ticketId: string) => ask(server, ticketId),
    /** A ticket whose agent has answered before. */
    warm: () => ask(server, kept),
    /** A ticket that was created while a spare agent was ready. */
    async fresh() {
      const id = await ticket(server);
      await pause(SPARE_MS);
      return ask(server, id);
    },
    /** A server that has just been started. */
    async cold() {
      const other = await lab.server({ ...lab.settings('cold'), ...env, ...limits });
      const took = await ask(other, await ticket(other));
      await other.stop();
      return took;
    },
    /** A process of the agent for this one question. */
    perRequest,
  };
}

/** From the request until the first text of the agent is there; returns when the run has ended. */
async function ask(server: Server, ticketId: string): Promise<number> {
  const begun = performance.now();
  const message = { action: 'chat', message: 'Say something.' };
  const { body } = await call(server.url, 'POST', `/v1/tickets/${ticketId}/runs`, message);
  const events = await fetch(`${server.url}/v1/runs/${body.run_id}/events`);
  return (await untilWord(events.body, begun)).took;
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
    const begun = performance.now();
    const args = [GEMINI, '-p', 'Say something.', '-o', 'stream-json', '-m', 'gemini-2.5-pro', '--skip-trust'];
    const child = spawn(process.execPath, args, {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home, ...model },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return (await untilWord(Readable.toWeb(child.stdout), begun)).took;
  };
}

/**
 * Reads a stream to its end, or until `whole` says so of what came.
 * @returns the milliseconds from `begun` until the first of the words was there
 */
export async function untilWord(
  body: ReadableStream | null,
  begun: number,
  whole?: (text: string) => boolean,
): Promise<{ took: number; text: string }> {
  let text = '';
  let took: number | undefined;
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes(WORDS[0])) took ??= performance.now() - begun;
    if (took !== undefined && whole?.(text)) break;
  }
  if (took === undefined) throw new Error(`no word came: ${text.slice(-2000)}`);
  return { took, text };
}
