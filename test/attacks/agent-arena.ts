import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import type { GeminiApi } from '../../standins/gemini-api.ts';
import type { ModelRequest } from '../../standins/gemini-request.ts';
import type { ToolCall, Turn } from '../../standins/gemini-script.ts';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { processesIn } from '../helpers/processes.ts';
import { chownTo, type ServerUser } from '../helpers/users.ts';
import {
  AGENT_ATTACKS,
  type AgentArena,
  type AgentAttack,
  type Evidence,
  EXTRA_CALLS,
  MESSAGES,
  type Prompt,
} from './agent-attacks.ts';

/** Maximum of answers with calls in one prompt. After thirty, Gemini CLI detects a loop. */
const MAX_ANSWERS = 20;

/**
 * Creates the targets of attacks in a folder: a home, a secret file, a process and a service on loopback.
 * @param dir an absolute path
 * @param attacks the attacks to carry out
 * @param user the owner of the targets
 */
export async function createAgentArena(
  dir: string,
  gemini: GeminiApi,
  attacks: readonly AgentAttack[] = AGENT_ATTACKS,
  user: Pick<ServerUser, 'prefix'> = { prefix: [] },
) {
  const visits: string[] = [];
  const server = createServer(async (request, response) => {
    visits.push(`${request.method} ${request.url} ${request.headers['x-goog-api-key'] ?? ''}`);
    if (!request.url?.startsWith('/relay/')) return void response.end('{}');
    const body = await text(request);
    const answer = await fetch(gemini.url + request.url.slice('/relay'.length), {
      method: request.method ?? 'GET',
      headers: { 'content-type': 'application/json', 'x-goog-api-key': String(request.headers['x-goog-api-key']) },
      body: body === '' ? null : body,
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
    response.end(await answer.text());
  });
  const host = await listenOnPort(server);
  const files = {
    'home/.config/gh/hosts.yml': 'github.com:\n  oauth_token: canary-of-gh\n',
    'outside/secret.txt': 'canary-of-files\n',
    '.env': 'GIT_AUTHOR_NAME=canary-of-dotenv\n',
  };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(dir, name, '..'), { recursive: true });
    await writeFile(join(dir, name), content);
  }
  chownTo(user, join(dir, 'home'), join(dir, 'outside'), join(dir, '.env'));
  const command = [...user.prefix, process.execPath, '-e', 'setInterval(() => {}, 1e6)', 'canary-of-argv'];
  const [program = '', ...args] = command;
  const decoy = spawn(program, args, {
    env: { SECRET: 'canary-of-environ' },
    stdio: 'ignore',
  });
  const decoyExited = once(decoy, 'exit');
  const arena: AgentArena = {
    host,
    home: join(dir, 'home'),
    data: join(dir, 'data'),
    envFile: join(dir, '.env'),
    other: join(dir, 'tickets/O-1'),
    outside: join(dir, 'outside'),
    decoy: decoy.pid ?? 0,
    mark: join(dir, 'stays'),
  };
  const survivors = () => processesIn(arena.mark).map(({ pid }) => pid);

  /** Lists the calls of a prompt with their attacks, and then the extra calls. */
  const callsOf = (prompt: Prompt): { attack?: AgentAttack; call: ToolCall }[] => [
    ...attacks.flatMap((attack) =>
      attack.during === prompt ? (attack.calls?.(arena) ?? []).map((call) => ({ attack, call })) : [],
    ),
    ...(EXTRA_CALLS[prompt] ?? []).map((call) => ({ call })),
  ];

  return {
    arena,
    home: arena.home,

    /** Returns the files of the hostile repository. */
    repository(): Record<string, string> {
      const settings: Record<string, object> = {};
      for (const attack of attacks) {
        // Gemini CLI reads one settings file, so attacks on the same setting use different names in it.
        for (const [name, value] of Object.entries(attack.settings?.(arena) ?? {})) {
          settings[name] = Array.isArray(value) ? value : { ...settings[name], ...value };
        }
      }
      const own = { '.gemini/settings.json': JSON.stringify(settings), 'kept.txt': 'kept\n' };
      const files: Record<string, string> = { ...own };
      for (const attack of attacks) {
        for (const [name, text] of Object.entries(attack.repository?.(arena) ?? {})) {
          files[name] = (files[name] ?? '') + text;
        }
      }
      return files;
    },

    /** Scripts the calls of all attacks of a prompt, several in an answer when there are many, and the last turn. */
    script(prompt: Prompt, last: Turn): void {
      const calls = callsOf(prompt).map(({ call }) => call);
      const size = Math.max(1, Math.ceil(calls.length / MAX_ANSWERS));
      const turns = calls.flatMap((_, index) =>
        index % size === 0 ? [{ calls: calls.slice(index, index + size) }] : [],
      );
      const [mark = ''] = MESSAGES[prompt].split('\n');
      gemini.on(mark, [...turns, last]);
    },

    /** Judges a prompt: for each of its attacks, whether it did harm, and the output of its calls. */
    async judge(prompt: Prompt, workspace: string, published: string) {
      const [mark = ''] = MESSAGES[prompt].split('\n');
      const requests = gemini.requests.filter((request) => request.prompt.includes(mark));
      const calls = callsOf(prompt).map(({ attack, call }) => ({
        attack,
        output: outputOf(requests.at(-1), call),
      }));
      const evidence: Omit<Evidence, 'output'> = {
        prompt: requests[0]?.prompt ?? '',
        tools: requests[0]?.tools ?? [],
        model: JSON.stringify(requests.map(({ body }) => body)),
        modelPaths: gemini.requests.map(({ path }) => path),
        modelPrompts: gemini.requests.map((request) => request.prompt),
        published,
        visits,
        decoyLives: decoy.exitCode === null && decoy.signalCode === null,
        survivors: survivors().length,
        exists: (path) => existsSync(resolve(workspace, path)) || isLink(resolve(workspace, path)),
        read: (path) => readFile(resolve(workspace, path), 'utf8'),
      };
      const selected = attacks.filter(({ during }) => during === prompt);
      const verdicts = selected.map(async (attack) => {
        const output = calls.flatMap((call) => (call.attack === attack ? [call.output ?? ''] : []));
        const all = { ...evidence, output: output.join('\n') };
        return { attack, output: all.output, harm: await attack.harm(all, arena) };
      });
      const answered = requests.length > 0 && calls.every(({ output }) => output !== undefined);
      return { answered, verdicts: await Promise.all(verdicts) };
    },

    async close(): Promise<void> {
      for (const pid of survivors()) process.kill(pid, 'SIGKILL');
      decoy.kill('SIGKILL');
      await decoyExited;
      await closeServer(server);
    },
  };
}

/** Returns the output of a call from the conversation; `undefined` when the call was not made. */
function outputOf(request: ModelRequest | undefined, { name, args }: ToolCall): string | undefined {
  const parts = request?.body.contents?.flatMap((content) => content.parts ?? []) ?? [];
  const part = parts.find(({ functionCall: call }) => call?.name === name && isDeepStrictEqual(call.args, args));
  const id = part?.functionCall?.id;
  const answer = parts.find(({ functionResponse }) => id !== undefined && functionResponse?.id === id);
  if (answer?.functionResponse === undefined) return undefined;
  const { output, error } = answer.functionResponse.response;
  return String(output ?? error);
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
