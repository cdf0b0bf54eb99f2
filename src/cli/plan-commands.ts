import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { type Client, type Schemas, unwrap } from '../../client/client.ts';
import { positive } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { type Context, command, given, report, withServer } from './commands.ts';
import { startRun } from './follow-run.ts';
import { printPatch } from './ticket-commands.ts';

type Plan = Schemas['Plan'];

/** Adds `pullwright plan [make|show|edit|approve|diff]`. */
export function addPlanCommands(program: Command): void {
  const plan = program
    .command('plan')
    .summary('write, show, edit, compare and approve plans')
    .usage('[make] <ticket_id> [message...] | show|edit|approve|diff <ticket_id>');

  const make = plan.command('make <ticket_id> [message...]', { isDefault: true });
  make
    .summary('let the agent write a plan')
    .option('--json', 'one JSON object, or one on each line')
    .action((ticketId: string, words: string[], options) => startRun('make_plan', ticketId, words, options));

  command(plan, 'show <ticket_id>', 'print the plan')
    .option('--version <number>', 'an older version', positive)
    .action(async (ticketId: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const shown = await planOf(client, ticketId, options.version);
        if (json) return terminal.json(shown);
        terminal.print(shown.body.replace(/\n$/, ''));
        terminal.info(
          `Version ${shown.version}, by ${shown.author}, ${shown.approved_at ? 'approved' : 'not approved'}.`,
        );
      }),
    );

  command(plan, 'edit <ticket_id>', 'edit the plan with $VISUAL or $EDITOR')
    .option('--file <file>', 'read the plan from a file instead; - is stdin')
    .option('--base <version>', 'version that the file is based on, instead of the newest', positive)
    .action(async (ticketId: string, options) => withServer(options, (context) => edit(context, ticketId, options)));

  command(plan, 'approve <ticket_id>', 'approve the newest version')
    .option('--version <number>', 'only if this version is the newest', positive)
    .action(async (ticket_id: string, options) =>
      withServer(options, async (context) => {
        const { client } = context.connection;
        const version = options.version ?? (await planOf(client, ticket_id)).version;
        const approved = await unwrap(
          client.POST('/v1/tickets/{ticket_id}/plan/approve', { params: { path: { ticket_id } }, body: { version } }),
        );
        report(context, approved, `Version ${version} is approved.`);
      }),
    );

  command(plan, 'diff <ticket_id>', 'compare versions of the plan, by default the last two')
    .argument('[from]', 'older version', positive)
    .argument('[to]', 'newer version, by default the newest', positive)
    .action(async (ticketId: string, from: number | undefined, to: number | undefined, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const newer = await planOf(client, ticketId, to);
        if (from === undefined && newer.version === 1) throw new CommandError('The plan has only one version.');
        const older = await planOf(client, ticketId, from ?? newer.version - 1);
        const patch = await compare(older, newer);
        if (json) terminal.json({ from: older.version, to: newer.version, patch });
        else printPatch(terminal, patch);
      }),
    );
}

async function planOf(client: Client, ticket_id: string, version?: number): Promise<Plan> {
  const params = { path: { ticket_id }, query: given({ version }) };
  return unwrap(client.GET('/v1/tickets/{ticket_id}/plan', { params }));
}

/** Saves an edit as the next version. The file of an editor is deleted only once the edit is saved. */
async function edit(context: Context, ticketId: string, { file, base }: { file?: string; base?: number }) {
  const { terminal, connection } = context;
  const current = await planOf(connection.client, ticketId, base);
  const source = file ?? (await openEditor(current));
  const body = source === '-' ? await text(process.stdin) : await readSource(source);
  const deleteDraft = async () => {
    if (file === undefined) await rm(join(source, '..'), { recursive: true, force: true });
  };
  if (body.trim() === current.body.trim()) {
    await deleteDraft();
    throw new CommandError('The plan is unchanged.');
  }
  try {
    const saved = await save(connection.client, ticketId, body, current.version);
    await deleteDraft();
    report(context, saved, `Saved as version ${saved.version}.`);
  } catch (error) {
    if (file === undefined) {
      terminal.info(
        [
          `What you wrote is in ${source}.`,
          `Compare it with newer versions: pullwright plan diff ${ticketId} ${current.version}`,
          `Then save it: pullwright plan edit ${ticketId} --file ${source}`,
        ].join('\n'),
      );
    }
    throw error;
  }
}

async function readSource(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error) => {
    throw new CommandError(`${file} cannot be read: ${error.message}.`);
  });
}

async function save(client: Client, ticket_id: string, body: string, version: number): Promise<Plan> {
  return unwrap(
    client.PUT('/v1/tickets/{ticket_id}/plan', {
      params: { path: { ticket_id } },
      body: { body },
      headers: { 'if-match': `"${version}"` },
    }),
  );
}

/** @returns the edited file, alone in a temporary folder */
async function openEditor({ body, version }: Plan): Promise<string> {
  const { VISUAL, EDITOR } = process.env;
  const [program, ...args] = (VISUAL || EDITOR || 'vi').split(/\s+/).filter((word) => word !== '');
  if (program === undefined) throw new CommandError('Set EDITOR to your editor.');
  const folder = await mkdtemp(join(tmpdir(), 'pullwright-plan-'));
  const file = join(folder, `plan-${version}.md`);
  await writeFile(file, body, { mode: 0o600 });
  const editor = spawn(program, [...args, file], { stdio: 'inherit' });
  const code: unknown = await once(editor, 'exit').then(
    ([status]) => status,
    () => 'no such program',
  );
  if (code !== 0) throw new CommandError(`${program} failed (${code}); your edit is in ${file}.`);
  return file;
}

async function compare(older: Plan, newer: Plan): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwright-plan-'));
  try {
    const [before, after] = [older, newer].map(({ version }) => `version-${version}.md`);
    if (before === undefined || after === undefined || before === after) return '';
    await writeFile(join(folder, before), older.body);
    await writeFile(join(folder, after), newer.body);
    const options = ['diff', '--no-index', '--no-ext-diff', '--no-textconv', '--no-color', '--no-prefix', '--'];
    const git = spawn('git', [...options, before, after], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    const failed = once(git, 'error').then(() => {
      throw new CommandError('plan diff needs git.');
    });
    failed.catch(() => {});
    return await Promise.race([text(git.stdout), failed]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
