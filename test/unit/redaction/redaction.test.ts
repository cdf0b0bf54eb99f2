import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { type EventDraft, eventData } from '../../../schemas/event.ts';
import { redactEvents } from '../../../src/redaction/redact-events.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';

const SECRETS = {
  'a token': 'ghp_0123456789abcdefghijklmnopqrstuvwxyz',
  'a key of the shortest length': 'Zq7-Xw2.',
  'a key with characters that every encoding changes': 'k\u00e9y+/?"\\ \n&=%\t~!\u{1f511} of the server',
  'a key that repeats itself': 'abababababababab',
  'a key that starts with another': 'abababababababab-and-more',
};
const ALL = Object.values(SECRETS);

/** Encodings in which a text may appear, also in the middle of a longer text. */
const ENCODINGS: Record<string, (text: string) => string> = {
  plain: (text) => text,
  'URL-encoded': encodeURIComponent,
  'URL-encoded in lower case': (text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
  'form-encoded': (text) => new URLSearchParams({ v: text }).toString().slice(2),
  JSON: (text) => JSON.stringify(text),
  'JSON in ASCII': (text) =>
    JSON.stringify(text).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  base64: (text) => Buffer.from(text).toString('base64'),
  'base64 after one byte': (text) => Buffer.from(`:${text}`).toString('base64'),
  'base64 after two bytes and before others': (text) => Buffer.from(`::${text}::`).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'base64url after one byte': (text) => Buffer.concat([Buffer.of(255), Buffer.from(text)]).toString('base64url'),
  'base64url after two bytes': (text) => Buffer.from(`??${text}>>`).toString('base64url'),
  hex: (text) => Buffer.from(text).toString('hex'),
  'hex in upper case': (text) => Buffer.from(text).toString('hex').toUpperCase(),
};

/** Returns the length of the longest part of `form` that the output contains. */
function leaked(output: string, form: string): number {
  for (let length = form.length; length > 0; length -= 1) {
    for (let from = 0; from + length <= form.length; from += 1) {
      if (output.includes(form.slice(from, from + length))) return length;
    }
  }
  return 0;
}

for (const [kind, secret] of Object.entries(SECRETS)) {
  t.test(`the redactor masks ${kind} in each encoding, wherever the text is split`, async (t) => {
    const redactor = createRedactor(ALL);
    for (const [name, encode] of Object.entries(ENCODINGS)) {
      const form = encode(secret);
      const text = `before ${form} after`;
      const masked = redactor.text(text);
      // In base64, the characters at both ends also hold bits of the surrounding text.
      t.ok(leaked(masked, form) <= 4, `${name}: ${masked}`);
      t.match(masked, /^before .*\[redacted\].* after$/, name);
      t.ok(redactor.search()(Buffer.from(text)), `${name}: found among bytes`);
      for (let at = 0; at <= text.length; at += 1) {
        const stream = redactor.stream();
        const streamed = stream.push(text.slice(0, at)) + stream.push(text.slice(at)) + stream.flush();
        if (streamed !== masked) t.fail(`${name} split at ${at}: ${streamed}`);
        const search = redactor.search();
        const [one, other] = [Buffer.from(text).subarray(0, at), Buffer.from(text).subarray(at)];
        if (!search(one) && !search(other)) t.fail(`${name}: bytes split at ${at}`);
      }
      const stream = redactor.stream();
      t.equal([...text].map(stream.push).join('') + stream.end(), masked, `${name}, character by character`);
    }
  });
}

t.test('the redactor masks each long line of a multi-line key', async (t) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const redactor = createRedactor([pem]);
  const lines = pem.trim().split('\n').slice(1, -2);
  for (const [name, encode] of Object.entries(ENCODINGS)) {
    const masked = redactor.text(encode(pem));
    for (const line of lines) if (masked.includes(encode(line).slice(3, -3))) t.fail(`${name}: ${line}`);
    t.match(redactor.text(`- ${encode(lines[7] ?? '')}`), /^- .*\[redacted\]/, name);
  }
  t.equal(redactor.text('-----BEGIN PRIVATE KEY-----'), '-----BEGIN PRIVATE KEY-----', 'its frame is not a secret');
});

t.test('a stream passes text without a secret unchanged, and holds only a possible start of one', async (t) => {
  const redactor = createRedactor(ALL);
  const random = generator(20_261_122);
  const pieces = [
    ...ALL.flatMap((secret) => parts(secret, random)),
    'x',
    ' ',
    '\n',
    '%2',
    '\\u',
    'é',
    '\u{1f511}',
    '=',
  ];
  let passed = 0;
  for (let round = 0; round < 3000; round += 1) {
    const chunks = Array.from({ length: 1 + (random() % 12) }, () => pieces[random() % pieces.length] ?? '');
    const whole = chunks.join('');
    if (holdsSecret(whole)) continue;
    const stream = redactor.stream();
    let out = '';
    let input = '';
    for (const chunk of chunks) {
      input += chunk;
      out += stream.push(chunk);
      if (!input.startsWith(out)) t.fail(`changed: ${JSON.stringify(out)} of ${JSON.stringify(input)}`);
      const held = input.slice(out.length);
      if (!isPrefix(held)) t.fail(`held without need: ${JSON.stringify(held)}`);
    }
    if (out + stream.end() !== whole) t.fail(`changed: ${JSON.stringify(whole)}`);
    if (redactor.text(whole) !== whole) t.fail(`changed as a whole: ${JSON.stringify(whole)}`);
    if (redactor.search()(Buffer.from(whole))) t.fail(`false match: ${JSON.stringify(whole)}`);
    passed += 1;
  }
  t.ok(passed > 1000, `${passed} texts passed`);
});

t.test('the redactor masks secrets in random text, wherever it is split', async (t) => {
  const redactor = createRedactor(ALL);
  const random = generator(4711);
  const encodings = Object.values(ENCODINGS);
  for (let round = 0; round < 2000; round += 1) {
    const secrets = Array.from({ length: 1 + (random() % 3) }, () => ALL[random() % ALL.length] ?? '');
    const forms = secrets.map((secret) => (encodings[random() % encodings.length] ?? String)(secret));
    const text = forms.map((form) => `${noise(random)} ${form} ${noise(random)}`).join('\n');
    const stream = redactor.stream();
    let out = '';
    for (let at = 0; at < text.length; ) {
      const length = 1 + (random() % 30);
      out += stream.push(text.slice(at, at + length));
      at += length;
    }
    out += stream.end();
    if (out !== redactor.text(text)) t.fail(`a stream differs: ${JSON.stringify(text)}`);
    for (const form of forms) if (leaked(out, form) > 7) t.fail(`${form} in ${JSON.stringify(out)}`);
  }
  t.pass('2000 texts');
});

t.test('redactEvents() releases held text before another event, and redacts each type of event', async (t) => {
  const secret = SECRETS['a token'];
  const { redact: redactOne } = redactEvents(createRedactor([secret]));
  const say = (text: string): EventDraft => ({ type: 'message.delta', data: { text } });
  const think = (text: string): EventDraft => ({ type: 'thought.delta', data: { text } });
  const tool: EventDraft = { type: 'tool.started', data: { tool_call_id: 'c', title: `cat ${secret}` } };
  const redact = (drafts: EventDraft[]) => drafts.flatMap(redactOne);
  const said = (drafts: EventDraft[]) =>
    drafts.flatMap((draft) => ('text' in draft.data ? [draft.data.text] : [draft.type]));

  t.strictSame(said(redact([say('Option g'), tool, say('h is next')])), ['Option ', 'g', 'tool.started', 'h is next']);
  t.match(redact([tool]), [{ data: { title: 'cat [redacted]' } }]);
  t.equal(redact([think('well')])[0]?.type, 'thought.delta');
  for (let at = 1; at < secret.length; at += 1) {
    const events = redact([say(`key ${secret.slice(0, at)}`), think('hm'), say(`${secret.slice(at)} end`), tool]);
    const message = events.map((event) => (event.type === 'message.delta' ? event.data.text : '')).join('');
    if (message.includes(secret) || leaked(message, secret) > 16) t.fail(`split at ${at}: ${message}`);
    if (!message.endsWith('[redacted] end')) t.fail(`split at ${at}: ${message}`);
  }
  for (const type of Object.keys(eventData)) {
    const event = JSON.parse(JSON.stringify({ type, data: { text: secret, deep: [{ list: [`"${secret}"`] }] } }));
    if (JSON.stringify(redact([event])).includes(secret)) t.fail(type);
  }
});

t.test('addSecret() masks a secret from then on, until it expires', async (t) => {
  const redactor = createRedactor([undefined, 'short', SECRETS['a token']]);
  const stream = redactor.stream();
  t.equal(redactor.text('a short text'), 'a short text', 'ordinary words are not masked');
  t.equal(stream.push(`${SECRETS['a token'].slice(0, 10)}`), '');
  redactor.addSecret('ghs_installation-token-1', Date.now() - 1);
  t.equal(stream.push(`${SECRETS['a token'].slice(10)}!`), '[redacted]!', 'an open stream continues');
  t.equal(stream.push('ghs_installation-token-1'), '[redacted]');
  redactor.addSecret('ghs_installation-token-2');
  t.equal(redactor.text('ghs_installation-token-1 ghs_installation-token-2'), 'ghs_installation-token-1 [redacted]');
});

t.test('json() returns valid JSON when it redacts', async (t) => {
  const secret = 'nightly-build-key "1"';
  const redactor = createRedactor([secret, 'night-watch']);
  t.strictSame(JSON.parse(redactor.json(JSON.stringify({ a: `x${secret}`, b: [1, null, secret] }))), {
    a: 'x[redacted]',
    b: [1, null, '[redacted]'],
  });
  // The escape of the line end, `\n`, completes the word.
  const innocent = JSON.stringify({ text: '\night-watch' });
  t.strictSame(JSON.parse(redactor.json(innocent)), JSON.parse(innocent));
  const value = { list: ['nothing'], date: new Date(0) };
  t.equal(redactor.value(value), value, 'a value without a secret is not copied');
});

function holdsSecret(text: string): boolean {
  return forms().some((form) => text.includes(form));
}

function isPrefix(text: string): boolean {
  return text === '' || forms().some((form) => form.startsWith(text));
}

let cachedForms: string[] | undefined;

/** Returns the parts of each encoding that do not depend on the surrounding text. */
function forms(): string[] {
  cachedForms ??= ALL.flatMap((secret) =>
    Object.values(ENCODINGS).flatMap((encode) => {
      const form = encode(secret);
      return form.startsWith('"') ? [form.slice(1, -1)] : [form, ...cores(secret)];
    }),
  );
  return cachedForms;
}

function cores(line: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const around = (byte: number) => Buffer.concat([Buffer.alloc(before, byte), Buffer.from(line), Buffer.of(byte)]);
    return (['base64', 'base64url'] as const).map((encoding) => {
      const [one, other] = [around(0).toString(encoding), around(255).toString(encoding)];
      const same = [...one].map((character, index) => character === other[index]);
      return one.slice(same.indexOf(true), same.lastIndexOf(true) + 1);
    });
  });
}

function parts(secret: string, random: () => number): string[] {
  return Object.values(ENCODINGS).map((encode) => {
    const form = encode(secret);
    return form.slice(0, 1 + (random() % (form.length - 1)));
  });
}

function noise(random: () => number): string {
  return Array.from({ length: random() % 20 }, () => String.fromCharCode(32 + (random() % 95))).join('');
}

/** Returns a generator with the same numbers on each run: https://en.wikipedia.org/wiki/Xorshift#xorshift32 */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
