import { inertItem, inertLine, inertQuote, type Redact } from '../git/inert-text.ts';
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
  /** Attributes of files, as in `.gitattributes`, by which changes are not shown for review. */
  hiding?: readonly string[] | undefined;
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
const MAX_LINES = 50;

const HELD_BACK = 'The agent changed these files too. They are protected, so the changes are not in this pull request:';
const HIDING =
  'These lines of attributes are new here. GitHub folds the changes of the files that they name, so open each of them:';

/**
 * Composes the title (one line, at most 256 characters) and the text (Markdown, at most 60,000 characters) of a ticket's
 * pull request. Everything that an agent, a client or a repository wrote is inert, and quoted or listed so that it cannot
 * pass for the server's own words.
 */
export function pullRequestText(facts: PullRequestFacts, redact: Redact): { title: string; body: string } {
  const { ticketId, subject, plan, commits, summary = '', heldBack = [], hiding = [], cutShort, check } = facts;
  const title = inertLine(`${ticketId}: ${subject?.trim() || 'changes'}`, redact, MAX_TITLE);
  const said = inertQuote(summary, redact, MAX_SUMMARY);
  const before = [
    `Ticket \`${ticketId}\`${plan === undefined ? '' : `, carried out after plan ${plan.version}`}. The changes were made by a coding agent; please review them like any other contribution.`,
    ...(cutShort === undefined
      ? []
      : [
          `**This may not be all of the plan**: the agent was asked to come to an end when the run came near \`${cutShort}\`.`,
        ]),
    ...(said === '' ? [] : ['## What the agent says', said]),
  ];
  const after = [
    '## Commits',
    listOf(commits, MAX_COMMITS, ({ sha, subject }) => `${sha.slice(0, 12)} ${listed(subject, redact)}`),
    ...section('Held back', HELD_BACK, heldBack, redact),
    ...section('Hidden from review', HIDING, hiding, redact),
    '## How this was checked',
    checkText(check),
  ];
  const space = MAX_BODY - [...before, ...after].join('\n\n').length;
  return { title, body: [...before, ...planSection(plan, redact, space), ...after].join('\n\n') };
}

function planSection(plan: PullRequestFacts['plan'], redact: Redact, space: number): string[] {
  if (plan === undefined) return [];
  const summary = `<details>\n<summary>Plan ${plan.version}</summary>`;
  const frame = `\n\n${summary}\n\n\n\n</details>`.length;
  return [summary, inertQuote(plan.body, redact, space - frame), '</details>'];
}

function section(title: string, words: string, lines: readonly string[], redact: Redact): string[] {
  if (lines.length === 0) return [];
  return [`## ${title}`, words, listOf(lines, MAX_LINES, (line) => listed(line, redact))];
}

function listOf<T>(items: readonly T[], most: number, show: (item: T) => string): string {
  const lines = items.slice(0, most).map((item) => `- ${show(item)}`);
  if (items.length > most) lines.push(`- and ${items.length - most} more`);
  return lines.join('\n');
}

/** Foreign text as one line in which no character is Markdown. */
function listed(text: string, redact: Redact): string {
  return inertItem(text, redact, 100)
    .replace(/[\\`*_[\]<~|$]/g, '\\$&')
    .replace(/^[-+>#=]/, '\\$&')
    .replace(/^(\d+)([.)])/, '$1\\$2');
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
