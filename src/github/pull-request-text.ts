import { inertItem, inertLine, inertQuote, type Redact } from '../git/inert-text.ts';
import { plainLine } from './plain-line.ts';

export type PullRequestFacts = {
  ticketId: string;
  /** Title of the ticket, or goal of its plan. */
  subject?: string | undefined;
  plan?: { version: number; body: string } | undefined;
  /** Oldest first. */
  commits: readonly { sha: string; subject: string }[];
  /** The last answer of the agent. */
  summary?: string | undefined;
  /** Changed files that PROTECTED_PATHS excludes from the commit. */
  heldBack?: readonly string[] | undefined;
  /** New lines of `.gitattributes` that hide changes from review. */
  hiding?: readonly string[] | undefined;
  /** The limit that made the agent finish early. */
  cutShort?: string | undefined;
  /** The check command that succeeded before the commit; undefined if none is configured. */
  check?: readonly string[] | undefined;
};

/** GitHub accepts 65,536 characters; the difference is for the markers and for text of people. */
const MAX_BODY = 60_000;
const MAX_TITLE = 256;
const MAX_SUMMARY = 15_000;
const MAX_COMMITS = 100;
const MAX_LINES = 50;

const HELD_BACK = 'The agent also changed these protected files. Their changes are not in this pull request:';
const HIDING =
  'This pull request adds these git attributes. GitHub collapses the diffs of the files that they match, so expand each:';

/**
 * Composes the title (one line, at most 256 characters) and the text (Markdown, at most 60,000 characters) of a ticket's
 * pull request. Foreign text (of agents, clients and repositories) is inert, and quoted or listed, so that nobody takes it
 * for text of the server.
 */
export function pullRequestText(facts: PullRequestFacts, redact: Redact): { title: string; body: string } {
  const { ticketId, subject, plan, commits, summary = '', heldBack = [], hiding = [], cutShort, check } = facts;
  const title = inertLine(`${ticketId}: ${subject?.trim() || 'changes'}`, redact, MAX_TITLE);
  const quotedSummary = inertQuote(summary, redact, MAX_SUMMARY);
  const before = [
    `Ticket \`${ticketId}\`${plan === undefined ? '' : `, implemented according to plan ${plan.version}`}. A coding agent made these changes; please review them like any other contribution.`,
    ...(cutShort === undefined
      ? []
      : [
          `**These changes may be incomplete**: the server asked the agent to finish, because the run neared its limit \`${cutShort}\`.`,
        ]),
    ...(quotedSummary === '' ? [] : ['## Summary by the agent', quotedSummary]),
  ];
  const after = [
    '## Commits',
    listOf(commits, MAX_COMMITS, ({ sha, subject }) => `${sha.slice(0, 12)} ${escapeItem(subject, redact)}`),
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

function section(title: string, intro: string, lines: readonly string[], redact: Redact): string[] {
  if (lines.length === 0) return [];
  return [`## ${title}`, intro, listOf(lines, MAX_LINES, (line) => escapeItem(line, redact))];
}

function listOf<T>(items: readonly T[], max: number, show: (item: T) => string): string {
  const lines = items.slice(0, max).map((item) => `- ${show(item)}`);
  if (items.length > max) lines.push(`- and ${items.length - max} more`);
  return lines.join('\n');
}

/** Escapes foreign text as one line without Markdown. */
function escapeItem(text: string, redact: Redact): string {
  return inertItem(text, redact, 100)
    .replace(/[\\`*_[\]<~|$]/g, '\\$&')
    .replace(/^[-+>#=]/, '\\$&')
    .replace(/^(\d+)([.)])/, '$1\\$2');
}

function checkText(check: readonly string[] | undefined): string {
  if (check === undefined) {
    return 'The server has no check command configured, so nothing checked these changes before the push.';
  }
  // Longer than any run of backticks in the command, which could close the fence.
  const command = plainLine(check.join(' '), 500);
  const fence = '`'.repeat(Math.max(2, ...[...command.matchAll(/`+/g)].map(([run]) => run.length)) + 1);
  return `This command succeeded in the workspace before the changes were committed:\n\n${fence}\n${command}\n${fence}`;
}
