import { inertMarkdown, quotedMarkdown } from './inert-markdown.ts';
import { plainLine } from './plain-line.ts';

export type PullRequestFacts = {
  ticketId: string;
  /** The ticket's title, or the goal of its plan. */
  subject?: string | undefined;
  plan?: { version: number; body: string } | undefined;
  /** Oldest first. */
  commits: readonly { sha: string; subject: string }[];
  /** What the agent said at its end. */
  summary?: string | undefined;
  /** Files that were changed too, but may not be committed. */
  heldBack?: readonly string[] | undefined;
  /** The limit near which the agent was asked to come to an end. */
  cutShort?: string | undefined;
  /** The command that succeeded before the commit; absent when none is configured. */
  check?: readonly string[] | undefined;
};

/** GitHub takes 65,536 characters; the rest is for the marker and for what people add. */
const MAX_BODY = 60_000;
const MAX_TITLE = 256;
const MAX_SUMMARY = 15_000;
const MAX_COMMITS = 100;
const MAX_PATHS = 50;

/**
 * Title (one line, at most 256 characters) and text (Markdown, at most 60,000 characters) of a ticket's pull request.
 * Everything an agent or a client wrote is quoted so that it cannot pass for the server's own words.
 */
export function pullRequestText(facts: PullRequestFacts): { title: string; body: string } {
  const { ticketId, subject, plan, commits, summary, heldBack = [], cutShort, check } = facts;
  const line = plainLine(`${ticketId}: ${subject?.trim() || 'changes'}`, MAX_TITLE - 16);
  const title = inertMarkdown(line).slice(0, MAX_TITLE).toWellFormed();
  const before = [
    `Ticket \`${ticketId}\`${plan === undefined ? '' : `, carried out after plan ${plan.version}`}. The changes were made by a coding agent; please review them like any other contribution.`,
    ...(cutShort === undefined
      ? []
      : [
          `**This may not be all of the plan**: the agent was asked to come to an end when the run came near \`${cutShort}\`.`,
        ]),
    ...(summary?.trim() ? ['## What the agent says', cut(quotedMarkdown(summary), MAX_SUMMARY)] : []),
  ];
  const after = [
    '## Commits',
    commitList(commits),
    ...heldBackSection(heldBack),
    '## How this was checked',
    checkText(check),
  ];
  const space = MAX_BODY - [...before, ...after].join('\n\n').length;
  return { title, body: [...before, ...planSection(plan, space), ...after].join('\n\n') };
}

function planSection(plan: PullRequestFacts['plan'], space: number): string[] {
  if (plan === undefined) return [];
  const summary = `<details>\n<summary>Plan ${plan.version}</summary>`;
  const frame = `\n\n${summary}\n\n\n\n</details>`.length;
  return [summary, cut(quotedMarkdown(plan.body), space - frame), '</details>'];
}

function commitList(commits: PullRequestFacts['commits']): string {
  const lines = commits.slice(0, MAX_COMMITS).map(({ sha, subject }) => {
    return `- ${sha.slice(0, 12)} ${listed(subject)}`;
  });
  if (commits.length > MAX_COMMITS) lines.push(`- and ${commits.length - MAX_COMMITS} more`);
  return lines.join('\n');
}

function heldBackSection(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const lines = paths.slice(0, MAX_PATHS).map((path) => `- ${listed(path)}`);
  if (paths.length > MAX_PATHS) lines.push(`- and ${paths.length - MAX_PATHS} more`);
  const words = 'The agent changed these files too. They are protected, so the changes are not in this pull request:';
  return ['## Held back', words, lines.join('\n')];
}

/** Foreign text as one line in which no character is Markdown. */
function listed(text: string): string {
  return inertMarkdown(plainLine(text, 100)).replace(/[\\`*_[\]<]/g, '\\$&');
}

function checkText(check: readonly string[] | undefined): string {
  if (check === undefined) {
    return 'The server has no check command configured, so nothing was run on these changes before they were pushed.';
  }
  // A fence that is longer than any run of backticks in the command cannot be closed by it.
  const command = plainLine(check.join(' '), 500);
  const fence = '`'.repeat(Math.max(2, ...[...command.matchAll(/`+/g)].map(([run]) => run.length)) + 1);
  return `This command succeeded in the workspace before the changes were committed:\n\n${fence}\n${command}\n${fence}`;
}

/** At most `length` characters of quoted Markdown, ending with a whole line where that is possible. */
function cut(quoted: string, length: number): string {
  if (quoted.length <= length) return quoted;
  const note = '\n\n(Cut here; the whole text is kept with the ticket.)';
  const start = quoted.slice(0, length - note.length);
  const line = start.lastIndexOf('\n');
  return (line > 0 ? start.slice(0, line) : start).toWellFormed() + note;
}
