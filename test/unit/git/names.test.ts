import t from 'tap';
import { AppError } from '../../../src/errors/app-error.ts';
import { ticketBranch, validateBranchName } from '../../../src/git/branch-name.ts';
import { parseRepoUrl, remoteUrl } from '../../../src/git/repo-url.ts';

const HOSTS = ['github.com', 'git.example.org'];
const SECRET = 'hunter2secret';

t.test('parseRepoUrl() normalises the spellings of a repository URL', async (t) => {
  const spellings = [
    'https://github.com/acme/widgets',
    'https://github.com/acme/widgets/',
    'https://github.com/acme/widgets.git',
    'https://github.com/acme/widgets.git/',
    'https://GitHub.com/acme/widgets',
    'git@github.com:acme/widgets',
    'git@github.com:acme/widgets.git',
  ];
  for (const spelling of spellings) {
    const repo = parseRepoUrl(spelling, HOSTS);
    t.strictSame(
      repo,
      { host: 'github.com', owner: 'acme', name: 'widgets', url: 'https://github.com/acme/widgets' },
      spelling,
    );
    t.equal(remoteUrl(repo), 'https://github.com/acme/widgets.git');
  }
  for (const [owner, name] of [
    ['acme', '.github'],
    ['a_corp', 'x'],
    ['Team.One', 'read-me.md'],
    ['acme', 'git'],
  ]) {
    t.equal(parseRepoUrl(`https://git.example.org/${owner}/${name}`, HOSTS).name, name);
  }
});

t.test('parseRepoUrl() refuses any other text, and does not repeat it in the error', async (t) => {
  const attacks = [
    '',
    'widgets',
    'acme/widgets',
    'https://github.com',
    'https://github.com/acme',
    'https://github.com/acme/',
    'https://github.com//widgets',
    'https://github.com/acme/widgets/tree/main',
    'https://github.com/acme//widgets',
    'http://github.com/acme/widgets',
    'ssh://git@github.com/acme/widgets',
    'git://github.com/acme/widgets',
    'file:///etc/passwd',
    '/etc/passwd',
    '../../etc',
    "ext::sh -c 'touch /tmp/pwned'",
    'ext::sh%20-c%20id',
    '--upload-pack=touch /tmp/pwned',
    '-u',
    'https://github.com/--upload-pack=id/widgets',
    'https://github.com/-acme/widgets',
    'https://github.com/acme/-widgets',
    'git@github.com:-acme/widgets',
    '-git@github.com:acme/widgets',
    `https://bot:${SECRET}@github.com/acme/widgets`,
    `https://${SECRET}@github.com/acme/widgets`,
    'https://github.com@evil.example/acme/widgets',
    'https://evil.example/acme/widgets',
    'https://github.com.evil.example/acme/widgets',
    'https://github.com./acme/widgets',
    'https://xgithub.com/acme/widgets',
    'https://github.com:8443/acme/widgets',
    'https://127.0.0.1/acme/widgets',
    'https://[::1]/acme/widgets',
    'https://169.254.169.254/latest/meta-data',
    'https://2130706433/acme/widgets',
    'https://localhost/acme/widgets',
    'https://github.com/acme/widgets?x=1',
    'https://github.com/acme/widgets#main',
    'https://github.com/acme/..',
    'https://github.com/acme/.',
    'https://github.com/../widgets',
    'https://github.com/./widgets',
    'https://github.com/acme/.git',
    'https://github.com/acme/widgets.git.git',
    'https://github.com/acme/widgets.GIT',
    'https://github.com/acme/%2e%2e',
    'https://github.com/acme/wid%67ets',
    'https://github.com\\acme\\widgets',
    'https://github.com/acme/wid gets',
    ' https://github.com/acme/widgets',
    'https://github.com/acme/widgets\n',
    'https://github.com/acme/widgets\n--upload-pack=id',
    'https://github.com/acme/widgets\0',
    'https://github.com/acme/wid\tgets',
    'https://github.com/acme/widg\u200bets',
    'https://github.com/\u202eacme/widgets',
    'https://github.com/аcme/widgets',
    'https://ɡithub.com/acme/widgets',
    'https://github.com/acme/$(id)',
    'https://github.com/acme/`id`',
    'https://github.com/acme/w;id',
    `https://github.com/${'a'.repeat(101)}/widgets`,
    `https://github.com/acme/${'a'.repeat(101)}`,
    'git@github.com/acme/widgets',
    'git@github.com:acme',
    'git@github.com:acme/widgets/more',
    'git@github.com:/acme/widgets',
    'git@github.com:22/acme/widgets',
    'root@github.com:acme/widgets',
  ];
  for (const attack of attacks) {
    try {
      t.fail(`${JSON.stringify(attack)} was parsed as ${parseRepoUrl(attack, HOSTS).url}`);
    } catch (error) {
      t.ok(error instanceof AppError && error.code === 'repo_url_invalid', JSON.stringify(attack));
      t.notMatch(String(error), SECRET);
    }
  }
  t.throws(() => parseRepoUrl('https://github.com/acme/widgets', ['git.example.org']), { code: 'repo_url_invalid' });
});

t.test('validateBranchName() accepts only names that git accepts', async (t) => {
  t.equal(ticketBranch('REL-123'), 'ticket_REL-123');
  for (const name of [
    'main',
    'feature/x',
    'v1.2',
    'a-b_c',
    'übung',
    '日本',
    'a@b',
    '#1',
    "it's",
    'a{b}',
    'x'.repeat(244),
  ]) {
    t.equal(validateBranchName(name), name);
  }
  const invalid = [
    '',
    '@',
    'HEAD',
    '-x',
    '--upload-pack=id',
    '.hidden',
    'a/.hidden',
    'a..b',
    'a.lock',
    'a.lock/b',
    'a.',
    '/a',
    'a/',
    'a//b',
    'a b',
    'a\tb',
    'a\nb',
    'a\0b',
    'a\x7fb',
    'a~1',
    'a^',
    'a:b',
    '+a:b',
    'a?',
    'a*',
    'a[b',
    'a\\b',
    'a@{1}',
    'a\ud800',
    'x'.repeat(245),
    'é'.repeat(123),
  ];
  for (const name of invalid) {
    t.throws(() => validateBranchName(name), { code: 'invalid_request' }, JSON.stringify(name));
  }
});
