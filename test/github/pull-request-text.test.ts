import t from 'tap';
import { quotedMarkdown } from '../../src/github/inert-markdown.ts';
import { type PullRequestFacts, pullRequestText } from '../../src/github/pull-request-text.ts';

const facts: PullRequestFacts = {
  ticketId: 'REL-123',
  subject: 'Add a colour to widgets',
  plan: { version: 3, body: '# Goal\n\nWidgets get a `colour`.\n\n```ts\nconst a: Array<string> = [];\n```' },
  commits: [{ sha: '0123456789abcdef0123456789abcdef01234567', subject: 'Add *colour*' }],
  summary: 'I added the field and a test.',
  check: ['npm', 'test'],
};

/** What a reader sees and GitHub's parser does not act on. */
const seen = (text: string) => text.replaceAll('\u200b', '');

t.test('tells the reader what was done, after which plan, and how it was checked', async (t) => {
  const { title, body } = pullRequestText(facts);
  t.equal(title, 'REL-123: Add a colour to widgets');
  t.match(body, /^Ticket `REL-123`, carried out after plan 3\./);
  t.match(body, '\n> I added the field and a test.\n');
  t.match(body, '<details>\n<summary>Plan 3</summary>\n\n> # Goal\n');
  t.match(seen(body), '> const a: Array<string> = [];\n> ```\n\n</details>');
  t.match(body, '\n- 0123456789ab Add \\*colour\\*\n');
  t.match(body, '## How this was checked\n\nThis command succeeded');
  t.match(body, '```\nnpm test\n```');

  const bare = pullRequestText({ ticketId: 'R-1', commits: [] });
  t.equal(bare.title, 'R-1: changes');
  t.match(bare.body, 'no check command configured');
  t.notMatch(bare.body, /<details>|What the agent says/);
});

const HOSTILE = {
  'a tag': '</blockquote></details><h2>Approved</h2>',
  'a tag split by an unseen character': '<\u200b/details><\u2060script>',
  'a comment': 'a <!-- ignore the review --> b',
  'a comment that is never closed': 'a <!-- b',
  'a comment within a comment': '<!-<!-- x -->- y',
  'our own marker': '<!-- pullwright:ticket=REL-9 --><!-- /pullwright -->',
  'an open fence': '````\nnever closed',
  'a line end of its own': 'a\r## Approved\r\n## Approved\u0085## Approved',
  'an image': '![x](https://evil.test/?leak)',
  'a footnote': 'a[^1]\n\n[^1]: outside of the quotation',
  'an alert': '[!CAUTION]\nDo not review.',
  'a mention': '@octocat, @acme/owners and (@someone)',
  'words that close an issue':
    'Fixes #12, closes: acme/secret#3, RESOLVED GH-7, fix https://github.com/a/b/issues/1, fixes\n#9',
  'reversed text': 'safe \u202egnihtyreve eteled\u2066',
  'tags written unseen': 'a\u{e0041}\u{e0042}b',
  'half a character': 'a\ud800',
};

for (const [name, text] of Object.entries(HOSTILE)) {
  t.test(`keeps ${name} within its quotation and without effect`, async (t) => {
    const quoted = quotedMarkdown(text);
    t.ok(
      quoted.split('\n').every((line) => line === '>' || line.startsWith('> ')),
      'every line is quoted',
    );
    const { title, body } = pullRequestText({
      ...facts,
      subject: text,
      commits: [{ sha: 'a'.repeat(40), subject: text }],
      summary: text,
      plan: { version: 1, body: text },
    });
    t.notOk(/[\r\n]/.test(title), 'the title is one line');
    for (const part of [title, body, quoted]) {
      const ours = part.replace(/^<\/?(details|summary)>|<\/summary>$/gm, '');
      t.notMatch(ours, /<[a-z/!?]/i, 'no HTML');
      t.notMatch(ours, /!\[|\[\^|\[!/, 'no image, footnote or alert');
      t.notMatch(ours, /(^|\W)@\w/, 'no mention');
      t.notMatch(ours, /\b(close[sd]?|fix(e[sd])?|resolve[sd]?):?\s+\S*(#\d|GH-\d|https:)/i, 'no issue is closed');
      t.notMatch(ours, /[\u202a-\u202e\u2066-\u2069\u2060\u{e0000}-\u{e007f}\r\u0085]/u, 'nothing unseen');
      t.ok(part.isWellFormed());
    }
    const [, summary = ''] = /## What the agent says\n\n([\s\S]*?)\n\n<details>/.exec(body) ?? [];
    t.ok(
      summary.split('\n').every((line) => line.startsWith('>')),
      'the summary stays quoted',
    );
    t.match(
      body,
      /\n\n<\/details>\n\n## Commits\n\n- .+\n\n## How this was checked\n\nThis command/,
      'the rest is ours',
    );
  });
}

t.test('the text looks the same to the reader', async (t) => {
  t.equal(
    seen(quotedMarkdown('Mail @ann, see <T> and ![x](y), fixes #1')),
    '> Mail @ann, see <T> and ![x](y), fixes #1',
  );
  t.equal(
    quotedMarkdown('ann@example.org: a < b, fix the tests, 👩‍👩‍👧'),
    '> ann@example.org: a < b, fix the tests, 👩‍👩‍👧',
  );
});

t.test('a check command cannot leave its fence', async (t) => {
  const { body } = pullRequestText({ ...facts, check: ['sh', '-c', '```\n## Approved\n````'] });
  t.match(body, '\n`````\nsh -c ``` ## Approved ````\n`````');
});

t.test('stays within what GitHub takes, cut at the end of a line', async (t) => {
  const line = 'Über 🚀 @ann <b>\n';
  const { title, body } = pullRequestText({
    ...facts,
    subject: '@a '.repeat(500),
    summary: line.repeat(20_000),
    plan: { version: 1, body: line.repeat(20_000) },
    commits: Array.from({ length: 500 }, () => ({ sha: 'f'.repeat(40), subject: '@x <y> '.repeat(100) })),
  });
  t.ok(title.length <= 256, `the title has ${title.length}`);
  t.ok(body.length <= 60_000 && body.length > 59_000, `the text has ${body.length}`);
  t.match(body, '- and 400 more');
  t.match(body, /\n## How this was checked\n/);
  const quoted = body.split('\n').filter((text) => text.startsWith('> '));
  t.ok(quoted.every((text) => seen(text) === '> Über 🚀 @ann <b>'));
  t.equal(body.match(/\(Cut here/g)?.length, 2);
  t.ok(pullRequestText({ ...facts, plan: { version: 1, body: '<!--'.repeat(65_536) } }).body.length <= 60_000);
});
