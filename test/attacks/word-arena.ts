import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { call, run } from '../helpers/client.ts';
import { REPO, type Server, type World } from '../helpers/server.ts';
import type { Edit } from './take-away.ts';
import type { WordAttack } from './word-attacks.ts';
import { type Effect, effectsOf } from './word-effects.ts';

const INERT_TEXT = 'src/git/inert-text.ts';

/** The words go to GitHub as they are. */
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
  /** The commit's message, and what is before its trailers. */
  message: string;
  said: string;
  title: string;
  /** The text of the pull request, without the server's own tags and names of commits. */
  body: string;
};

/**
 * Has a `dev` publish the words of some attacks in every place that somebody else writes: what the agent says, the plan
 * and its headings, names of files, and the title of the ticket or, without one, the goal of the plan.
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
  const made = await call(server, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: REPO, ...title });
  if (made.status !== 201) throw new Error(`the ticket was not made: ${JSON.stringify(made.body)}`);

  const plan = ['# Goal', line, ...words.flatMap((word) => [`## ${word.split('\n')[0]}`, word])].join('\n\n');
  gemini.on(new RegExp(`Action: make_plan.*${ticketId}`, 's'), [{ text: plan }]);
  const files = words.map((word) => Buffer.from(`.github/${word}/x`).toString('base64'));
  const touch = `f=$(echo $1 | base64 -d); mkdir -p -- "$(dirname -- "$f")"; echo x > "$f"`;
  const command = `echo work > ${ticketId}.txt; for b in ${files.join(' ')}; do sh -c '${touch}' - $b; done`;
  gemini.on(new RegExp(`Action: dev.*${ticketId}`, 's'), [
    { calls: [{ name: 'run_shell_command', args: { command } }] },
    { text: words.join('\n\n') },
  ]);
  const { run: ended } = await run(server, ticketId, { action: 'dev' });
  if (ended.state !== 'succeeded') throw new Error(`the run did not succeed: ${JSON.stringify(ended.error)}`);

  const message = messageOf(world, `ticket_${ticketId}`);
  const pull = github.pulls('acme/duration').find(({ head }) => head === `ticket_${ticketId}`);
  if (pull === undefined) throw new Error('there is no pull request');
  const own = /<!-- \/?pullwright(?::ticket=[\w-]+)? -->|^<\/?(?:details|summary)>|<\/summary>$|^- [0-9a-f]{12} /gm;
  return {
    message,
    said: message.slice(0, message.lastIndexOf('\n\n')),
    title: pull.title,
    body: (pull.body ?? '').replace(own, ''),
  };
}

/** The message of a branch's newest commit, as GitHub has it. */
export function messageOf(world: World, branch: string): string {
  const args = ['--git-dir', join(world.dir, 'gh/acme/duration.git'), 'log', '-1', '--format=%B', branch];
  return execFileSync('git', args, { encoding: 'utf8' }).trim();
}

/** The effects of what was published, by the place that has them. */
export function effectsIn({ said, title, body }: Published): Record<string, Effect[]> {
  const places = { said, title, body };
  return Object.fromEntries(Object.entries(places).map(([place, text]) => [place, [...effectsOf(text)].sort()]));
}

/** As many together as a title has room for. */
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
