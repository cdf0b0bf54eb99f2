import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { styleText } from 'node:util';
import { createParser } from 'eventsource-parser';
import type { RunEvent } from '../schemas/event.ts';
import { startGeminiApi } from '../standins/gemini-api.ts';
import { startGitHub } from '../standins/github.ts';
import { chatMessage, sampleScripts, ticket } from '../standins/sample-ticket.ts';

/**
 * The main job from ticket to pull request: the real server, agent, git and gh; only the model and GitHub are stood
 * in for. Everything lives in a temporary folder and is gone afterwards.
 */
async function demo(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'pullwright-demo-'));
  const github = await startGitHub({ root: join(dir, 'github') });
  const gemini = await startGeminiApi();
  github.addToken(TOKEN, { login: 'pullwright-demo', push: true });
  await github.addRepository('acme/duration', { from: new URL('../standins/sample', import.meta.url).pathname });
  gemini.script(sampleScripts);
  const server = await startServer(dir, { ...github.environment(), ...gemini.environment(), GITHUB_TOKEN: TOKEN });
  try {
    await walk(server.url);
  } finally {
    await server.stop();
    await Promise.all([github.close(), gemini.close()]);
    await rm(dir, { recursive: true, force: true });
  }
  farewell();
}

const TOKEN = 'ghp_demo0123456789abcdefghijklmnopqrstuv';
const REPO = 'https://github.com/acme/duration';
const path = `/v1/tickets/${ticket.ticket_id}`;

async function walk(url: string): Promise<void> {
  title('1. The ticket');
  say(`${ticket.ticket_id}: ${ticket.title}`, ticket.description);
  const created = await call(url, 'POST', '/v1/tickets', { ...ticket, repo_url: REPO });
  say(`Checked out on branch ${created.branch}, from ${created.base_branch}.`);

  title('2. Chat');
  say(chatMessage);
  await run(url, { action: 'chat', message: chatMessage });

  title('3. A plan');
  await run(url, { action: 'make_plan' });

  title('4. A person approves it');
  const plan = await call(url, 'GET', `${path}/plan`);
  await call(url, 'POST', `${path}/plan/approve`, { version: plan.version });
  say(`Plan ${plan.version} is approved.`);

  title('5. Dev: the agent carries the plan out');
  await run(url, { action: 'dev' });

  title('6. What came of it');
  const diff = await call(url, 'GET', `${path}/diff`);
  out(diff.patch.replace(/^.*$/gm, colored));
  const { pull_request } = await call(url, 'GET', path);
  say(`The pull request: ${styleText('bold', pull_request.url)}`);
}

/** Starts a run and prints its events as they come. */
async function run(url: string, command: object): Promise<void> {
  const { run_id } = await call(url, 'POST', `${path}/runs`, command);
  const response = await fetch(new URL(`/v1/runs/${run_id}/events`, url));
  if (response.body === null) throw new Error('the stream has no body');
  const queue: RunEvent[] = [];
  const parser = createParser({ onEvent: (frame) => queue.push(JSON.parse(frame.data)) });
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    parser.feed(chunk);
    for (const event of queue.splice(0)) print(event);
  }
}

let midLine = false;

function print(event: RunEvent): void {
  if (event.type === 'message.delta') {
    out(event.data.text);
    midLine = !event.data.text.endsWith('\n');
    return;
  }
  const told = describe(event);
  if (told === undefined) return;
  if (midLine) out('\n');
  midLine = false;
  out(`${styleText('dim', `  ${told}`)}\n`);
  if (event.type === 'run.failed') throw new Error(`the run failed: ${event.data.error?.detail}`);
}

function describe(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'tool.started':
      return `[${event.data.kind}] ${event.data.title}`;
    case 'plan.saved':
      return `plan saved as version ${event.data.version}`;
    case 'commit.created':
      return `commit ${event.data.sha.slice(0, 12)} ${event.data.subject}`;
    case 'branch.pushed':
      return `pushed ${event.data.ref}`;
    case 'pull_request.opened':
      return `pull request opened: ${event.data.url}`;
    case 'run.succeeded':
      return `done in ${(event.data.duration_ms / 1000).toFixed(1)} s, ${event.data.usage.input_tokens} tokens in, ${event.data.usage.output_tokens} out`;
    case 'run.failed':
      return `failed: ${event.data.error?.detail}`;
    default:
      return undefined;
  }
}

async function startServer(dir: string, env: Record<string, string>) {
  const main = new URL('../src/main.ts', import.meta.url).pathname;
  const folders = { DATA_DIR: join(dir, 'data'), TICKETS_ROOT: join(dir, 'tickets') };
  const child = spawn(process.execPath, [main], {
    cwd: dir,
    env: { PATH: process.env.PATH, ...folders, PORT: '0', LOG_LEVEL: 'info', ...sandboxSetting(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const address = /"msg":"Server listening at (http:[^"]+)"/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    void ended.then(() => reject(new Error('the server did not start')));
  });
  say(`The server answers at ${url}; the model and GitHub are stand-ins, all else is real.`);
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** There is no bubblewrap but on Linux. */
function sandboxSetting(): Record<string, string> {
  return process.platform === 'linux' ? {} : { SANDBOX: 'none' };
}

// biome-ignore lint/suspicious/noExplicitAny: the demo prints what the server answers, as a script with curl would
async function call(url: string, method: string, route: string, body?: object): Promise<any> {
  const response = await fetch(new URL(route, url), {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const answer: any = await response.json();
  if (!response.ok)
    throw new Error(`${method} ${route} answered ${response.status}: ${answer.detail} ${answer.remedy}`);
  return answer;
}

function farewell(): void {
  title('With your own repository');
  say(
    'Get a key at https://aistudio.google.com/apikey and a GitHub token with contents and pull requests access, then:',
    '',
    '  echo GEMINI_API_KEY=... >> .env',
    '  echo GITHUB_TOKEN=...   >> .env      (or log in with: gh auth login)',
    '  npm start',
    '',
    "  curl -s localhost:8000/create_ticket -H 'Content-Type: application/json' \\",
    '    -d \'{"ticket_id": "REL-123", "repo_url": "https://github.com/YOU/REPO"}\'',
    "  curl -sN localhost:8000/command -H 'Content-Type: application/json' \\",
    '    -d \'{"ticket_id": "REL-123", "action": "chat", "message": "What does this do?"}\'',
  );
  const { GEMINI_API_KEY, GITHUB_TOKEN, GH_TOKEN } = process.env;
  if (GEMINI_API_KEY && (GITHUB_TOKEN || GH_TOKEN))
    say('', 'Both are set in your environment already: npm start does the real thing.');
}

function title(text: string): void {
  out(`\n${styleText(['bold', 'cyan'], text)}\n`);
}

function say(...lines: string[]): void {
  out(`${lines.join('\n')}\n`);
}

function colored(line: string): string {
  if (line.startsWith('+')) return styleText('green', line);
  return line.startsWith('-') ? styleText('red', line) : line;
}

function out(text: string): void {
  process.stdout.write(text);
}

await demo();
