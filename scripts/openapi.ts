import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config/load-config.ts';
import { createRedactor } from '../src/redaction/redactor.ts';

// Generates docs/openapi.json from the routes, and the client's types from that document. `--check` fails when either is
// outdated. The types contain a hash of their document, so the check needs no download.

const DOCUMENT = fileURLToPath(new URL('../docs/openapi.json', import.meta.url));
const TYPES = fileURLToPath(new URL('../client/api.ts', import.meta.url));
/** Requires TypeScript 5, which the project does not have. */
const GENERATOR = ['--yes', '--package=openapi-typescript@7.13.0', '--package=typescript@5.9.3', '--'];

const document = await currentDocument();
const stamp = `// Made by \`npm run docs\` from docs/openapi.json, sha256 ${createHash('sha256').update(document).digest('hex')}.\n`;

if (process.argv.includes('--check')) {
  if ((await textOf(DOCUMENT)) !== document) stale('docs/openapi.json is outdated');
  if (!(await textOf(TYPES)).startsWith(stamp)) stale('client/api.ts is outdated');
} else {
  const upToDate = (await textOf(DOCUMENT)) === document && (await textOf(TYPES)).startsWith(stamp);
  await writeFile(DOCUMENT, document);
  if (!upToDate) await writeTypes();
}

/** Returns the document that a server serves at `/openapi.json`. */
async function currentDocument(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pullwright-openapi-'));
  const folders = { DATA_DIR: join(dir, 'data'), TICKETS_ROOT: join(dir, 'tickets') };
  const app = await buildApp({
    config: loadConfig({ ...folders, SANDBOX: 'none', GITHUB_TOKEN: 'none-is-needed' }, join(dir, '.env')),
    parentEnv: process.env,
    logger: pino({ level: 'silent' }),
    redactor: createRedactor(),
  });
  try {
    await app.ready();
    return `${JSON.stringify(app.swagger(), null, 2)}\n`;
  } finally {
    await app.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function writeTypes(): Promise<void> {
  const args = [
    'exec',
    ...GENERATOR,
    'openapi-typescript',
    DOCUMENT,
    '--root-types',
    '--root-types-no-schema-prefix',
    '--output',
    TYPES,
  ];
  execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await writeFile(TYPES, stamp + (await textOf(TYPES)));
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

function stale(what: string): never {
  console.error(`${what}. Run: npm run docs`);
  process.exit(1);
}
