import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { call, run } from '../helpers/client.ts';
import { REPO, type Server, type World } from '../helpers/server.ts';
import type { Edit } from './remove-defences.ts';
import type { WordAttack } from './word-attacks.ts';
import { type Effect, effectsOf } from './word-effects.ts';

const INERT_TEXT = 'src/git/inert-text.ts';

/** Makes the server forward text unchanged. */
export const WITHOUT_INERT_TEXT: readonly Edit[] = [
  {
    file: INERT_TEXT,
    from: 'function withoutHidden(text: string): string {',
    to: 'function withoutHidden(text: string) { return text;',
  },
  {
    file: INERT_TEXT,
    from: 'function withBreaks(text: string, patterns: readonly RegExp[]): string {',
    to: 'function withBreaks(text: string, patterns: readonly RegExp[]) { return text;',
  },
  { file: INERT_TEXT, from: 'lines.map(quoteLine)', to: 'lines' },
];

export type Published = {
  /** The whole commit message. */
  message: string;
  /** The commit message without its trailers. */
  commitText: string;
  title: string;
  /** The text of the pull request without the server's tags and commit ids. */
  body: string;
};

/**
 * Publishes the texts of attacks by a `dev` run in every field that others write: the agent's answer, the plan and its
 * headings, file names, and the title of the ticket or, without one, the goal of the plan.
 */
export async function publishWords(
  { server, world, ticketId }: { server: Server; world: World; ticketId: string },
  attacks: readonly WordAttack[],
  titled: boolean,
): Promise<Published> {
  const { gemini, github } = world;
  const words = attacks.map((attack) => attack.words);
  const line = words.join(' ; ').replace(/\s+/g, ' ').slice(0, 250);
  const title = titled ? { title: line } : {};
  const created = await call(server, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: REPO, ...title });
  if (created.status !== 201) throw new Error(`no ticket was created: ${JSON.stringify(created.body)}`);

  const plan = ['# Goal', line, ...words.flatMap((word) => [`## ${word.split('\n')[0]}`, word])].join('\n\n');
  gemini.on(new RegExp(`Action: make_plan.*${ticketId}`, 's'), [{ text: plan }]);
  const files = words.map((word) => Buffer.from(`.github/${word}/x`).toString('base64'));
  const touch = `f=$(echo $1 | base64 -d); mkdir -p -- "$(dirname -- "$f")"; echo x > "$f"`;
  const command = `echo work > ${ticketId}.txt; for b in ${files.join(' ')}; do sh -c '${touch}' - $b; done`;
  gemini.on(new RegExp(`Action: dev.*${ticketId}`, 's'), [
    { calls: [{ name: 'run_shell_command', args: { command } }] },
    { text: words.join('\n\n') },
  ]);
  const { run: finished } = await run(server, ticketId, { action: 'dev' });
  if (finished.state !== 'succeeded') throw new Error(`the run did not succeed: ${JSON.stringify(finished.error)}`);

  const message = messageOf(world, `ticket_${ticketId}`);
  const pull = github.pulls('acme/duration').find(({ head }) => head === `ticket_${ticketId}`);
  if (pull === undefined) throw new Error('no pull request was created');
  const own = /<!-- \/?pullwright(?::ticket=[\w-]+)? -->|^<\/?(?:details|summary)>|<\/summary>$|^- [0-9a-f]{12} /gm;
  return {
    message,
    commitText: message.slice(0, message.lastIndexOf('\n\n')),
    title: pull.title,
    body: (pull.body ?? '').replace(own, ''),
  };
}

/** Returns the message of a branch's head at GitHub. */
export function messageOf(world: World, branch: string): string {
  const args = ['--git-dir', join(world.dir, 'gh/acme/duration.git'), 'log', '-1', '--format=%B', branch];
  return execFileSync('git', args, { encoding: 'utf8' }).trim();
}

/** Lists the effects of the published text by field. */
export function effectsIn({ commitText, title, body }: Published): Record<string, Effect[]> {
  const fields = { commitText, title, body };
  return Object.fromEntries(Object.entries(fields).map(([field, text]) => [field, [...effectsOf(text)].sort()]));
}

/** Groups attacks so that the texts of each group fit into a title. */
export function inBatches(attacks: readonly WordAttack[]): WordAttack[][] {
  const batches: WordAttack[][] = [];
  let length = Number.POSITIVE_INFINITY;
  for (const attack of attacks) {
    if (length + attack.words.length > 200) {
      batches.push([]);
      length = 0;
    }
    batches.at(-1)?.push(attack);
    length += attack.words.length + 3;
  }
  return batches;
}
