import t from 'tap';
import { inertLine, inertQuote } from '../../../src/git/inert-text.ts';
import { createRandom, type Random } from '../../attacks/random.ts';
import { LINE_ATTACKS, WORD_ATTACKS } from '../../attacks/word-attacks.ts';
import { effectsOf, trailersOf } from '../../attacks/word-effects.ts';

const TEXTS = Number(process.env.FUZZ_TEXTS ?? 2000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

const unchanged = (text: string) => text;
const line = (text: string) => inertLine(text, unchanged, 1000);
const quote = (text: string) => inertQuote(text, unchanged, 10_000);

for (const { name, words, effect } of [...WORD_ATTACKS, ...LINE_ATTACKS]) {
  t.test(`inertQuote() and inertLine() disarm ${name}`, async (t) => {
    t.ok(effectsOf(words).has(effect), 'it has its effect without them');
    t.strictSame([...effectsOf(quote(words))], [], quote(words));
    t.strictSame([...effectsOf(`T-1: ${line(words)}`)], [], line(words));
    t.equal(line(line(words)), line(words), 'inert text stays unchanged');
    t.strictSame(trailersOf(`T-1: x\n\n${quote(words)}\n\nTicket: T-1\n`), ['Ticket: T-1']);
  });
}

t.test(`inertQuote() and inertLine() disarm ${TEXTS} mutations of these, seed ${SEED}`, async (t) => {
  const random = createRandom(SEED);
  const failures: unknown[] = [];
  let effective = 0;
  for (let count = 0; count < TEXTS; count += 1) {
    const words = mutate(random, random.pick([...WORD_ATTACKS, ...LINE_ATTACKS]).words);
    if (effectsOf(words).size > 0) effective += 1;
    for (const inert of [quote(words), `T-1: ${line(words)}`]) {
      const effects = [...effectsOf(inert)];
      if (effects.length > 0) failures.push({ words, inert, effects });
    }
  }
  t.strictSame(failures.slice(0, 5), []);
  t.ok(effective > TEXTS / 2, `${effective} of them have an effect without them`);
});

/** Varies letters, Unicode forms, lines and markup of a text, and appends other attacks. */
function mutate(random: Random, words: string): string {
  let text = words;
  for (let times = random.below(4); times >= 0; times -= 1) {
    text = [...text].map((character) => (random.chance(0.15) ? mutation(random, character) : character)).join('');
    if (random.chance(0.2)) text = `${random.pick(WRAPPERS)}${text}${random.pick(WRAPPERS)}`;
    if (random.chance(0.2))
      text = `${text}${random.pick(['\n', '\r\n', '\n\n', ' ', '\u2028', ''])}${random.pick(WORD_ATTACKS).words}`;
  }
  return text;
}

const WRAPPERS = [
  '*',
  '**',
  '_',
  '`',
  '```\n',
  '\n```',
  '> ',
  '- ',
  '1. ',
  '<b>',
  '</b>',
  '<!--',
  '-->',
  '[',
  '](x)',
  '(',
  '\\',
  '~~',
  '\n',
  '#',
  'a',
  '&amp;',
];

function mutation(random: Random, character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return random.pick([
    `&#${code};`,
    `&#${code}`,
    `&#x${code.toString(16)};`,
    `&#0000${code};`,
    `&amp;#${code};`,
    random.chance(0.5) ? character.toUpperCase() : character.toLowerCase(),
    `${character}${random.pick(['\u200b', '\u200c', '\u200d', '\u2060', '\u00ad', '\ufeff', '\u202e', '\ufe0f', '\u{e0061}', '\u0000', '\u034f'])}`,
    code > 0x20 && code < 0x7f ? String.fromCodePoint(code + 0xfee0) : character,
    `\\${character}`,
    `*${character}*`,
    `<!---->${character}`,
    `${character}${random.pick(['\n', '\r', '\t', '  ', '\u00a0', '\u0085'])}`,
  ]);
}

t.test('inertQuote() and inertLine() keep ordinary text readable', async (t) => {
  const text = 'Über 👩‍👩‍👧 ❤️: a < b && c, x², “می‌خواهم”, fix the tests of arr[i], mail R&D. 1000000 defaced.';
  t.equal(line(text), text);
  t.equal(
    quote('# Goal\n\n- [x] one\n- two\n\n```ts\nconst a = b[0];\n```'),
    '> # Goal\n>\n> - [x] one\n> - two\n>\n> ```ts\n> const a = b[0];\n> ```',
  );
  t.equal(line('Mail @ann, see <T> and #12'), 'Mail @·ann, see <·T> and #·12');
  t.equal(line('Skip [skip ci] & [redacted]'), 'Skip [·sk·ip ci] & [redacted]');
  t.equal(quote(' \u200b\n '), '');
});

t.test('inertQuote() and inertLine() redact a secret before they split it', async (t) => {
  const secret = 'a1b2c3d4e5@f6';
  const redact = (text: string) => text.replaceAll(secret, '[redacted]');
  t.equal(inertLine(`x a1b2\u200bc3d4e5@f6`, redact, 100), 'x [redacted]');
  t.equal(inertQuote(`x ${secret}`, redact, 100), '> x [redacted]');
  t.equal(inertLine(`${'x'.repeat(95)} ${secret}`, redact, 100).includes('a1b2'), false, 'also at the length limit');
});

t.test('inertQuote() and inertLine() stay within their limit, in time proportional to the input', async (t) => {
  for (const piece of [
    '<!--',
    '[',
    '@a ',
    'fix ',
    'a-',
    '0a',
    '[a ',
    'skip ',
    '\n',
    ' ',
    '😀',
    '_',
    'fix a/',
    '&amp;',
  ]) {
    const text = piece.repeat(65_536 / piece.length);
    t.ok(inertQuote(text, unchanged, 60_000).length <= 60_000, JSON.stringify(piece));
    t.ok(inertLine(text, unchanged, 100).length <= 100);
  }
  t.match(
    inertQuote('line\n'.repeat(1000), unchanged, 1000),
    /\n> line\n\n\(Cut here; the ticket has the whole text\.\)$/,
  );
});
