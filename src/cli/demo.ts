import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unwrap } from '../../client/client.ts';
import { startGeminiApi } from '../../standins/gemini-api.ts';
import { startGitHub } from '../../standins/github.ts';
import { chatMessage, sampleScripts, ticket } from '../../standins/sample-ticket.ts';
import { loadConfig } from '../config/load-config.ts';
import type { Context } from './commands.ts';
import { embed } from './connect.ts';
import { startAndFollow } from './follow-run.ts';
import { createTerminal, type Terminal } from './terminal.ts';
import { printPatch } from './ticket-commands.ts';

const TOKEN = 'ghp_demo0123456789abcdefghijklmnopqrstuv';
const REPO = 'https://github.com/acme/duration';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));

/**
 * Shows the way from ticket to pull request with the real server, agent, git and gh. Only the model and GitHub are stand-ins.
 * Deletes its temporary folder at the end.
 */
export async function demo(json: boolean): Promise<void> {
  const terminal = createTerminal();
  const dir = await mkdtemp(join(tmpdir(), 'pullwright-demo-'));
  const github = await startGitHub({ root: join(dir, 'github') });
  const gemini = await startGeminiApi();
  try {
    github.addToken(TOKEN, { login: 'pullwright-demo', push: true });
    await github.addRepository('acme/duration', { from: SAMPLE });
    gemini.script(sampleScripts);
    const env = { PATH: process.env.PATH, ...github.environment(), ...gemini.environment(), GITHUB_TOKEN: TOKEN };
    const folders = { DATA_DIR: join(dir, 'data'), TICKETS_ROOT: join(dir, 'tickets') };
    const connection = await embed(loadConfig({ ...env, ...folders, ...sandboxSetting() }, join(dir, '.env')), env);
    terminal.info(`The server runs at ${connection.url}. The model and GitHub are stand-ins; the rest is real.`);
    try {
      await walk({ terminal, connection, json });
    } finally {
      await connection.close();
    }
  } finally {
    await Promise.all([github.close(), gemini.close()]);
    await rm(dir, { recursive: true, force: true });
  }
  printNextSteps(terminal);
}

async function walk(context: Context): Promise<void> {
  const { terminal, json } = context;
  const { client } = context.connection;
  const params = { path: { ticket_id: ticket.ticket_id } };
  const run = (request: Parameters<typeof startAndFollow>[2]) => startAndFollow(context, ticket.ticket_id, request);
  const title = (text: string) => terminal.info(`\n${text}`, ['bold', 'cyan']);

  title('1. The ticket');
  terminal.info(`${ticket.ticket_id}: ${ticket.title}\n${ticket.description}`);
  const created = await unwrap(client.POST('/v1/tickets', { body: { ...ticket, repo_url: REPO } }));
  terminal.info(`Checked out on branch ${created.branch}, from ${created.base_branch}.`);

  title('2. Chat');
  terminal.info(chatMessage);
  await run({ action: 'chat', message: chatMessage });

  title('3. A plan');
  await run({ action: 'make_plan' });

  title('4. Approval by a person');
  const { version } = await unwrap(client.GET('/v1/tickets/{ticket_id}/plan', { params }));
  await unwrap(client.POST('/v1/tickets/{ticket_id}/plan/approve', { params, body: { version } }));
  terminal.info(`Plan ${version} is approved.`);

  title('5. Dev: the agent implements the plan');
  await run({ action: 'dev' });

  title('6. The result');
  const diff = await unwrap(client.GET('/v1/tickets/{ticket_id}/diff', { params }));
  if (json) terminal.json(diff);
  else printPatch(terminal, diff.patch);
  const { pull_request } = await unwrap(client.GET('/v1/tickets/{ticket_id}', { params }));
  terminal.info(`The pull request: ${pull_request?.url}`, 'bold');
}

/** bubblewrap exists on Linux only. */
function sandboxSetting(): Record<string, string> {
  return process.platform === 'linux' ? {} : { SANDBOX: 'none' };
}

function printNextSteps(terminal: Terminal): void {
  terminal.info('\nWith your own repository', ['bold', 'cyan']);
  terminal.info(
    [
      'Get a key at https://aistudio.google.com/apikey and a GitHub token with access to contents and pull requests. Then:',
      '',
      '  pullwright init      (asks for both and writes .env)',
      '  pullwright doctor    (checks that nothing is missing)',
      '  pullwright serve',
      '',
      '  pullwright ticket create REL-123 https://github.com/YOU/REPO',
      '  pullwright chat REL-123 "What does this do?"',
    ].join('\n'),
  );
}
