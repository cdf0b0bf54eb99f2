/**
 * Words that trigger an action of GitHub, a CI system or a bot. Each pattern matches the first half of a word, up to the offset
 * at which a break makes it inert; a look-ahead matches the other half. The text is in NFKC form, so look-alikes such as `＠`
 * match too.
 */

/** Markers that skip a build outside of brackets, as in `skip-checks: true` and `***NO_CI***`. */
const SKIPPED = '(?:c[id](?![a-z])|(?:action|check|build|pipeline|workflow|deploy)s?(?![a-z]))';

/** The closing keywords of GitHub, GitLab and Linear. */
const CLOSING =
  '(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?|complet(?:e[sd]?|ing))';

/** An issue by number, address, repository or the key of another tracker. */
const ISSUE = '(?:[#!]|gh-|https?:|[\\w.-]{1,100}/[\\w.-]{1,100}#|[a-z][a-z0-9_]{0,20}-\\d)';

/** Words that trigger an action anywhere in a text. */
export const ANYWHERE: readonly RegExp[] = [
  // Mentions of people and teams, commits as USER@SHA, mail addresses.
  // https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#mentioning-people-and-teams
  /@(?=\S)/g,
  // Issues as #1, OWNER/REPO#1 and GH-1; commands as #close, which Jira and release tools read in commits.
  // https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
  /#(?=[^\s#])/g,
  /gh-(?=[^\p{L}\p{N}\s]{0,8}\p{N})/giu,
  // Words that close an issue. Issues of GitHub are inert already; these are for other trackers.
  // https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
  new RegExp(`(?<!\\p{L})${CLOSING}(?=[^\\p{L}\\p{N}]{0,20}${ISSUE}|:\\s*\\d)`, 'giu'),
  // URLs, which become links or references to an issue or a commit: https://github.github.com/gfm/#autolinks-extension-
  /:(?=\/\/)/g,
  /www\.(?=\S)/gi,
  // Links, whose text may be misleading, images, footnotes and alerts.
  /\](?=[([:])/g,
  /!(?=\[)/g,
  /\[(?=[!^])/g,
  // HTML and its comments.
  /<(?=[a-z/!?])/gi,
  // Entities, which only GitHub decodes. HTML has a few without a semicolon; these matter.
  /&(?=#|[a-z][a-z0-9]{0,31};|(?:amp|lt|gt|quot|nbsp|shy))/gi,
  // Markers that skip a build: https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
  // Other CI systems have their own words, mostly in brackets: https://github.com/srz-zumix/ci-skip
  /(?<=\[[^\]]{0,80})sk(?=ip)/gi,
  new RegExp(`sk(?=ip[\\s_-]*${SKIPPED})`, 'gi'),
  /(?<=(?<![a-z])(?:c[id]|actions?|checks?)[\s_-]{0,20})sk(?=ip(?![a-z]))/gi,
  /(?<![a-z])no(?=[\s_-]*ci(?![a-z]))/gi,
  // Any other word in brackets, such as [WIP], [deploy] or [ENG-12], except an index and `[redacted]`.
  /(?<![\p{L}\p{N}_)\]])\[(?=(?!redacted\])\p{L}[^[\]\n]{1,80}\])/gu,
  // Words that change a release: https://www.conventionalcommits.org and the commit override of release-please.
  /breaking(?=[\s-]+changes?\s*:)/gi,
  /commit(?=_override)/gi,
];

/** Marks before the first word of a line: quotation, list, indentation. */
const START = '^[ \\t>*+\\d.)-]{0,40}';

/** Words that trigger an action at the beginning of a line. They are broken even in a quotation: somebody may unquote it. */
export const AT_LINE_START: readonly RegExp[] = [
  // Trailers: https://git-scm.com/docs/git-interpret-trailers. Most words without a dash are prose.
  new RegExp(`${START}(?:[a-z0-9]+-[a-z0-9-]*|breaking change|cc|changelog|ticket)(?=[ \\t]*:)`, 'gim'),
  // Commands to bots, such as /merge, and bors.
  new RegExp(`${START}[/!](?=\\p{L})`, 'gmu'),
  new RegExp(`${START}bors(?=[\\s:])`, 'gim'),
];

/** Abbreviated and full names of commits, which become links. The caller skips words and numbers. */
export const COMMIT_NAME = /[0-9a-f]{7,}/gi;
/** GitHub links a commit from the seventh digit. */
export const MAX_INERT_DIGITS = 6;
