import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test as TapTest } from 'tap';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Starts the server with invalid settings and waits for its exit. */
function start(t: TapTest, settings: Record<string, string>, envFile?: string) {
  const dir = t.testdir({});
  if (envFile !== undefined) writeFileSync(join(dir, '.env'), envFile);
  const env = { PATH: process.env.PATH, ...settings };
  return spawnSync(process.execPath, [MAIN], { cwd: dir, env, encoding: 'utf8' });
}

t.test('the server lists all invalid settings at once, each with a remedy', async (t) => {
  const { status, stderr } = start(t, {
    PORT: 'eighty',
    REQUIRE_PLAN_APPROVAL: 'yes',
    SANDBOX: 'chroot',
    VERIFY_COMMAND: 'npm test',
    PULLWRIGHT_PORT: '80',
    MAX_QUEUED_RUNS: '1e3',
    ALLOWED_REPO_HOSTS: 'https://github.com/',
    ASK_PERMISSION: 'execute,think',
    API_KEY: 'short',
  });
  t.equal(status, 1);
  for (const name of [
    'PORT is "eighty"',
    'REQUIRE_PLAN_APPROVAL',
    'SANDBOX',
    'PULLWRIGHT_PORT is not a setting. The setting is called PORT.',
    'VERIFY_COMMAND is not a JSON array',
    'MAX_QUEUED_RUNS is "1e3"',
    'ALLOWED_REPO_HOSTS holds "https://github.com/"',
    'ASK_PERMISSION names "think". Use kinds of read, edit,',
  ]) {
    t.match(stderr, name);
  }
  t.match(stderr, /API_KEY is \(not shown\)/);
  t.notMatch(stderr, 'short', 'the message holds no secret');
});

t.test('a server on a public address does not start without a key', async (t) => {
  const { status, stderr } = start(t, { HOST: '0.0.0.0', PORT: '0', LOG_LEVEL: 'silent' });
  t.equal(status, 1);
  t.match(stderr, /HOST is "0\.0\.0\.0".*no API key is valid/);
});

t.test('a server on a public address does not start without a sandbox', async (t) => {
  const { status, stderr } = start(t, { HOST: '0.0.0.0', SANDBOX: 'none' });
  t.equal(status, 1);
  t.match(stderr, /SANDBOX is "none"/);
});

t.test('a server does not start when a protected path protects nothing', async (t) => {
  for (const wrong of [
    '...',
    '/',
    '\u200b',
    '. /',
    ':x',
    '..\\.',
    'a,\u2060/...',
    '*.yml',
    'ci/?.yml',
    '../ci.yml',
    ',',
    'none,a',
  ]) {
    const { status, stderr } = start(t, { PROTECTED_PATHS: wrong });
    t.equal(status, 1, wrong);
    t.match(stderr, /PROTECTED_PATHS holds .+\. .+\./, wrong);
  }
});

t.test('TRUST_PROXY accepts only addresses and ranges', async (t) => {
  for (const wrong of ['proxy.example.org', '10.0.0.0/33', '10.0.0.0/0', '::1/129', '1', '10.0.0.0/8/8', 'true']) {
    t.match(start(t, { TRUST_PROXY: wrong }).stderr, `TRUST_PROXY holds "${wrong}"`);
  }
});

t.test('the environment takes precedence over .env', async (t) => {
  const { stderr } = start(t, { PORT: 'from-environment' }, 'PORT=from-file\nLOG_LEVEL=loud\n');
  t.match(stderr, /PORT is "from-environment"/);
  t.match(stderr, /LOG_LEVEL is "loud"/);
});

t.test('the server reports a secret file that is unreadable or set twice', async (t) => {
  const { stderr } = start(t, { GITHUB_TOKEN_FILE: '/nonexistent', GITHUB_TOKEN: 'x', VERIFY_COMMAND: 'npm test' });
  t.match(stderr, /GITHUB_TOKEN and GITHUB_TOKEN_FILE are both set/);
  t.match(stderr, /GITHUB_TOKEN_FILE cannot be read/);
  t.match(stderr, /VERIFY_COMMAND is not a JSON array/);
});

t.test('EGRESS_ALLOW accepts only host names', async (t) => {
  const wrong = [
    '127.0.0.1',
    'localhost',
    '*',
    '*.',
    'https://a.example',
    'a.example:443',
    '[::1]',
    'a..example',
    '*.1',
  ];
  const { stderr } = start(t, { EGRESS_ALLOW: ['a.example', '*.A.example', ...wrong].join(), VERIFY_COMMAND: 'x' });
  for (const host of wrong) t.match(stderr, `EGRESS_ALLOW holds ${JSON.stringify(host)}, which is not a host name.`);
  t.equal(stderr.match(/EGRESS_ALLOW/g)?.length, wrong.length);
});

t.test('the server does not start when the store cannot be opened', async (t) => {
  const { status, stderr } = start(t, { DATA_DIR: '.env', LOG_LEVEL: 'silent' }, 'PORT=0\n');
  t.equal(status, 1);
  t.match(stderr, /Pullwright could not start/);
});

t.test('the server refuses invalid OTLP headers and does not print them', async (t) => {
  for (const wrong of ['hush-hush', 'a b=hush-hush', 'authorization=%hush-hush', 'authorization=hush-hush%0a']) {
    const { status, stderr } = start(t, { OTEL_EXPORTER_OTLP_HEADERS: wrong });
    t.equal(status, 1, wrong);
    t.match(stderr, /OTEL_EXPORTER_OTLP_HEADERS .*Write it like authorization=Bearer%20TOKEN/);
    t.notMatch(stderr, 'hush-hush');
  }
  const { stderr } = start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' });
  t.match(stderr, 'OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318"');
});
