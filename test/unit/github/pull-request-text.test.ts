import t from 'tap';
import { pullRequestText as composed, type PullRequestFacts } from '../../../src/github/pull-request-text.ts';
import { LINE_ATTACKS, WORD_ATTACKS } from '../../attacks/word-attacks.ts';
import { effectsOf } from '../../attacks/word-effects.ts';

const pullRequestText = (facts: PullRequestFacts) => composed(facts, (text) => text);

const facts: PullRequestFacts = {
  ticketId: 'REL-123',
  subject: 'Add a colour to widgets',
  plan: { version: 3, body: '# Goal\n\nWidgets get a `colour`.\n\n```ts\nconst a: Array<string> = [];\n```' },
  commits: [{ sha: '0123456789abcdef0123456789abcdef01234567', subject: 'Add *colour*' }],
  summary: 'I added the field and a test.',
  check: ['npm', 'test'],
};

t.test('pullRequestText() lists the changes, the plan and the check command', async (t) => {
  const { title, body } = pullRequestText(facts);
  t.equal(title, 'REL-123: Add a colour to widgets');
  t.match(body, /^Ticket `REL-123`, implemented according to plan 3\./);
  t.match(body, '\n> I added the field and a test.\n');
  t.match(body, '<details>\n<summary>Plan 3</summary>\n\n> # Goal\n');
  t.match(body, '> const a: Array<·string> = [];\n> ```\n\n</details>');
  t.match(body, '\n- 0123456789ab Add \\*colour\\*\n');
  t.match(body, '## How this was checked\n\nThis command succeeded');
  t.match(body, '```\nnpm test\n```');

  const bare = pullRequestText({ ticketId: 'R-1', commits: [] });
  t.equal(bare.title, 'R-1: changes');
  t.match(bare.body, 'no check command configured');
  t.notMatch(bare.body, /<details>|Summary by the agent/);
});

const HOSTILE: Readonly<Record<string, string>> = {
  ...Object.fromEntries([...WORD_ATTACKS, ...LINE_ATTACKS].map(({ name, words }) => [name, words])),
  'a tag split by an invisible character': '<\u200b/details><\u2060script>',
  'a comment that is never closed': 'a <!-- b',
  'a comment within a comment': '<!-<!-- x -->- y',
  'our own marker': '<!-- pullwright:ticket=REL-9 --><!-- /pullwright -->',
  'an open fence': '````\nnever closed',
  'a line end other than LF': 'a\r## Approved\r\n## Approved\u0085## Approved',
  'a footnote': 'a[^1]\n\n[^1]: outside of the quotation',
  'half a character': 'a\ud800',
  'a heading': '# Approved',
  'a rule': '---',
  'a list': '1. one',
};

for (const [name, text] of Object.entries(HOSTILE)) {
  t.test(`pullRequestText() keeps ${name} in its section and without effect`, async (t) => {
    const { title, body } = pullRequestText({
      ...facts,
      subject: text,
      commits: [{ sha: 'a'.repeat(40), subject: text }],
      heldBack: [text],
      hiding: [text],
      summary: text,
      plan: { version: 1, body: text },
    });
    t.notOk(/[\r\n]/.test(title), 'the title is one line');
    const ours = /^<\/?(?:details|summary)>|<\/summary>$|^- a{12} /gm;
    for (const part of [title, body.replace(ours, '')]) {
      t.strictSame([...effectsOf(part)], []);
      t.ok(part.isWellFormed());
    }
    const [, summary = '', plan = ''] =
      /## Summary by the agent\n\n([\s\S]*?)\n\n<details>\n<summary>Plan 1<\/summary>\n\n([\s\S]*?)\n\n<\/details>/.exec(
        body,
      ) ?? [];
    for (const quote of [summary, plan])
      t.ok(
        quote.split('\n').every((line) => /^>(?: |$)/.test(line)),
        'it stays quoted',
      );
    t.match(
      body,
      /\n\n<\/details>\n\n## Commits\n\n- .+\n\n## Held back\n\n.+\n\n- .+\n\n## Hidden from review\n\n.+\n\n- .+\n\n## How this was checked\n\nThis command/,
      'the other sections are unchanged',
    );
    t.notMatch(body, /^- (?:[-+>#=]|\d+[.)])/m, 'a list item contains only text');
  });
}

t.test('pullRequestText() keeps a check command in its fence when it contains backticks', async (t) => {
  const { body } = pullRequestText({ ...facts, check: ['sh', '-c', '```\n## Approved\n````'] });
  t.match(body, '\n`````\nsh -c ``` ## Approved ````\n`````');
});

t.test('pullRequestText() stays within the limits of GitHub, and cuts at the end of a line', async (t) => {
  const line = 'Über 🚀 @ann <b>\n';
  const { title, body } = pullRequestText({
    ...facts,
    subject: '@a '.repeat(500),
    summary: line.repeat(20_000),
    plan: { version: 1, body: line.repeat(20_000) },
    commits: Array.from({ length: 500 }, () => ({ sha: 'f'.repeat(40), subject: '@x <y> '.repeat(100) })),
  });
  t.ok(title.length <= 256, `the title has ${title.length} characters`);
  t.ok(body.length <= 60_000 && body.length > 59_000, `the body has ${body.length} characters`);
  t.match(body, '- and 400 more');
  t.match(body, /\n## How this was checked\n/);
  const quoted = body.split('\n').filter((text) => text.startsWith('> '));
  t.ok(quoted.every((text) => text === '> Über 🚀 @·ann <·b>'));
  t.equal(body.match(/\(Cut here/g)?.length, 2);
  t.ok(pullRequestText({ ...facts, plan: { version: 1, body: '<!--'.repeat(65_536) } }).body.length <= 60_000);
});
