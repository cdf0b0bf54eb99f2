/**
 * Words that GitHub, a CI system or a bot acts on. Each pattern matches the first half of one, up to the place where a
 * break makes it inert; what follows is a look-ahead. The text is in the NFKC form, so look-alikes such as `＠` count.
 */

/** Where else than in brackets people skip a build, as in `skip-checks: true` and `***NO_CI***`. */
const SKIPPED = '(?:c[id](?![a-z])|(?:action|check|build|pipeline|workflow|deploy)s?(?![a-z]))';

/** Those of GitHub, and what GitLab and Linear take besides. */
const CLOSING =
  '(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?|complet(?:e[sd]?|ing))';

/** An issue by number, address, repository or the key of another tracker. */
const ISSUE = '(?:[#!]|gh-|https?:|[\\w.-]{1,100}/[\\w.-]{1,100}#|[a-z][a-z0-9_]{0,20}-\\d)';

/** Words that act anywhere in a text. */
export const ANYWHERE: readonly RegExp[] = [
  // Mentions of people and teams, commits as USER@SHA, addresses of mail.
  // https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#mentioning-people-and-teams
  /@(?=\S)/g,
  // Issues as #1, OWNER/REPO#1 and GH-1; commands as #close, which Jira and release tools take from commits.
  // https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
  /#(?=[^\s#])/g,
  /gh-(?=[^\p{L}\p{N}\s]{0,8}\p{N})/giu,
  // Words that close an issue; the issue after them is inert already where GitHub is the tracker.
  // https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
  new RegExp(`(?<!\\p{L})${CLOSING}(?=[^\\p{L}\\p{N}]{0,20}${ISSUE}|:\\s*\\d)`, 'giu'),
  // Addresses, which become links and, of an issue or a commit, references: https://github.github.com/gfm/#autolinks-extension-
  /:(?=\/\/)/g,
  /www\.(?=\S)/gi,
  // Links, whose text may lie, images, footnotes and alerts.
  /\](?=[([:])/g,
  /!(?=\[)/g,
  /\[(?=[!^])/g,
  // HTML and its comments.
  /<(?=[a-z/!?])/gi,
  // Entities: what one stands for is seen by GitHub only. Without a semicolon HTML knows a few, of which these matter.
  /&(?=#|[a-z][a-z0-9]{0,31};|(?:amp|lt|gt|quot|nbsp|shy))/gi,
  // Markers that skip a build, broken within the word: https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
  // Others have words of their own, mostly in brackets: https://github.com/srz-zumix/ci-skip
  /(?<=\[[^\]]{0,80})sk(?=ip)/gi,
  new RegExp(`sk(?=ip[\\s_-]*${SKIPPED})`, 'gi'),
  /(?<=(?<![a-z])(?:c[id]|actions?|checks?)[\s_-]{0,20})sk(?=ip(?![a-z]))/gi,
  /(?<![a-z])no(?=[\s_-]*ci(?![a-z]))/gi,
  // Any other word in brackets, such as [WIP], [deploy] or [ENG-12], but not an index, nor the redactor's own.
  /(?<![\p{L}\p{N}_)\]])\[(?=(?!redacted\])\p{L}[^[\]\n]{1,80}\])/gu,
  // A release with another major version (https://www.conventionalcommits.org), and release-please's other message.
  /breaking(?=[\s-]+changes?\s*:)/gi,
  /commit(?=_override)/gi,
];

/** Marks before the first word of a line: quotation, list, indentation. */
const START = '^[ \\t>*+\\d.)-]{0,40}';

/** Words that act at the beginning of a line. A quotation keeps them away from it; these hold where somebody removes that. */
export const AT_LINE_START: readonly RegExp[] = [
  // Trailers: https://git-scm.com/docs/git-interpret-trailers. Words without a dash are prose more often than not.
  new RegExp(`${START}(?:[a-z0-9]+-[a-z0-9-]*|breaking change|cc|changelog|ticket)(?=[ \\t]*:)`, 'gim'),
  // Commands to bots, such as /merge, and bors.
  new RegExp(`${START}[/!](?=\\p{L})`, 'gmu'),
  new RegExp(`${START}bors(?=[\\s:])`, 'gim'),
];

/** Names of commits, which become links: 7 to 64 hexadecimal digits. Words and numbers are left alone. */
export const COMMIT_NAME = /[0-9a-f]{7,}/gi;
/** GitHub takes no fewer digits for a commit. */
export const MAX_INERT_DIGITS = 6;
