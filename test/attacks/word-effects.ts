import { execFileSync } from 'node:child_process';

/**
 * An effect of a text on GitHub, git, a CI system or a bot, according to their documentation and independent of the
 * server's code. The detection prefers false positives: it also reads the text with entities decoded, without tags, marks
 * and invisible characters, and in NFKC form.
 */
export type Effect =
  | 'mention'
  | 'closing'
  | 'reference'
  | 'skip'
  | 'link'
  | 'html'
  | 'invisible'
  | 'trailer'
  | 'release'
  | 'command';

const ISSUE = String.raw`(?:(?:[\w.-]+/[\w.-]+)?#\d+|gh-\d+|https?://\S+/\d+|[a-z]{2,9}-\d+)`;
const QUOTE = String.raw`^[ \t>*+-]*`;

const FOUND: readonly (readonly [Effect, readonly RegExp[]])[] = [
  // https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax
  ['mention', [/(?:^|[^a-z0-9])@[a-z0-9]/im]],
  // https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
  ['closing', [new RegExp(String.raw`\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\s*:?\s+${ISSUE}`, 'i')]],
  // https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
  [
    'reference',
    [
      /#\d+/,
      /\bgh-\d+/i,
      /https?:\/\/\S+\/(?:issues|pull|commit|discussions)\//i,
      /(?<![\w-])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}(?![\w-])/i,
    ],
  ],
  // https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs, https://github.com/srz-zumix/ci-skip
  [
    'skip',
    [
      // No system has a longer marker.
      /\[(?:[^\]]{0,60}[\s_-])?skip(?:[\s_-][^\]]{0,60})?\]/i,
      /\[\s*no[\s_-]ci\s*\]/i,
      /\b(?:skip[\s_-]ci|ci[\s_-]skip|no_ci)\b/i,
      new RegExp(`${QUOTE}skip-checks\\s*:\\s*true`, 'im'),
    ],
  ],
  // https://github.github.com/gfm/: links, definitions, footnotes, autolinks; alerts.
  ['link', [/\]\(\S/, /\]\[/, /\]:\s*\S/, /\[[!^]/, /(?:https?|ftp):\/\//i, /www\.\w/i]],
  // DCO and other bots read each line. https://git-scm.com/docs/git-interpret-trailers
  ['trailer', [new RegExp(`${QUOTE}(?:[a-z]+(?:-[a-z]+)*-by|(?:change|run)-id|plan-version|release-as)\\s*:`, 'im')]],
  // https://www.conventionalcommits.org
  ['release', [new RegExp(`${QUOTE}BREAKING[ -]CHANGE\\s*:`, 'm')]],
  ['command', [new RegExp(`${QUOTE}/[a-z]`, 'im'), new RegExp(`${QUOTE}bors\\s`, 'im'), /(?:^|\s)#[a-z]/i]],
];

// Without joiners, which are part of emojis.
const INVISIBLE =
  /[\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}]|(?![\n\t])\p{Cc}/gu;

/** Detects effects in text by others; the caller removes the server's own text. */
export function effectsOf(text: string): Set<Effect> {
  const effects = new Set<Effect>();
  // `search` ignores the `lastIndex` of a global pattern.
  if (text.search(INVISIBLE) !== -1) effects.add('invisible');
  if (/<[a-z/!?]/i.test(text)) effects.add('html');
  const all = readings(text);
  for (const [effect, patterns] of FOUND) {
    if (all.some((reading) => patterns.some((pattern) => pattern.test(reading)))) effects.add(effect);
  }
  return effects;
}

/** Lists the trailers that git finds in a message and its readings, as `Token: value`. */
export function trailersOf(message: string): string[] {
  const found = [message, ...readings(message)].flatMap((reading) =>
    execFileSync('git', ['interpret-trailers', '--parse'], { input: reading, encoding: 'utf8' }).split('\n'),
  );
  return [...new Set(found)].filter((line) => line !== '');
}

function readings(text: string): string[] {
  const decoded = [text, decode(text), decode(decode(text))];
  const visible = decoded.map((reading) => reading.normalize('NFKC').replace(INVISIBLE, ''));
  const plain = visible.map((reading) => reading.replace(/<!--[\s\S]*?-->|<[a-z/][^>]*>/gi, ''));
  const rendered = [...visible, ...plain].map((reading) =>
    reading.replace(/\\(?=[!-/:-@[-`{-~])/g, '').replace(/[*~`]|\b_|_\b/g, ''),
  );
  return [...new Set([...decoded, ...visible, ...plain, ...rendered])];
}

/** Named entities of ASCII and invisible characters: https://html.spec.whatwg.org/multipage/named-characters.html. */
const NAMED: Readonly<Record<string, string>> = {
  commat: '@',
  num: '#',
  lbrack: '[',
  lsqb: '[',
  rbrack: ']',
  rsqb: ']',
  lpar: '(',
  rpar: ')',
  colon: ':',
  sol: '/',
  bsol: '\\',
  lt: '<',
  gt: '>',
  amp: '&',
  excl: '!',
  period: '.',
  ast: '*',
  lowbar: '_',
  Tab: '\t',
  NewLine: '\n',
  nbsp: ' ',
  shy: '\u00ad',
};

function decode(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));?/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return NAMED[name] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10_ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}
