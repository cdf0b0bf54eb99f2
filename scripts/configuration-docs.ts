import { readFile, writeFile } from 'node:fs/promises';
import type { TSchema } from '@sinclair/typebox';
import { DEFAULT_PROTECTED_PATHS } from '../src/config/protected-paths.ts';
import { accessSettings } from '../src/config/settings/access.ts';
import { agentSettings } from '../src/config/settings/agents.ts';
import { githubSettings } from '../src/config/settings/github.ts';
import { retentionSettings } from '../src/config/settings/retention.ts';
import { runSettings } from '../src/config/settings/runs.ts';
import { serverSettings } from '../src/config/settings/server.ts';
import { traceSettings } from '../src/config/settings/traces.ts';
import { Settings } from '../src/config/settings.ts';

/** Generates `docs/configuration.md` from the settings. With `--check`, it fails when the file is out of date. */

const FILE = new URL('../docs/configuration.md', import.meta.url);

const SECTIONS: readonly [title: string, settings: Readonly<Record<string, TSchema>>][] = [
  ['Server', serverSettings],
  ['Disk and retention', retentionSettings],
  ['Access', accessSettings],
  ['Repositories and GitHub', githubSettings],
  ['Runs', runSettings],
  ['Traces', traceSettings],
  ['Agents and models', agentSettings],
];

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/settings/ by \`npm run docs\`. -->

A setting is an environment variable, or a line \`NAME=value\` of the file \`.env\` in the folder in which the server
starts. The environment takes precedence. An empty value counts as unset. If a value is not valid, the server does not
start, and it reports every problem at once.
`;

const OTHER_VARIABLES = `## Other environment variables

These are not settings, and \`.env\` cannot contain them. The server passes \`HTTPS_PROXY\`, \`NO_PROXY\`, \`SSL_CERT_FILE\` and
\`SSL_CERT_DIR\` to git and gh. Calls to the model also use \`HTTPS_PROXY\`, with the certificates of \`NODE_EXTRA_CA_CERTS\`;
for a relay with an \`http:\` address they use \`HTTP_PROXY\`. On Node.js 22, this needs 22.21 or later. Agents receive none
of these variables. They get proxy variables of their own if \`EGRESS_ALLOW\` names hosts.
`;

/** Lists the paths of `PROTECTED_PATHS=default` by the programs that obey them. */
function protectedPaths(): string {
  const rows = Object.entries(Object.groupBy(DEFAULT_PROTECTED_PATHS, ([, obeyedBy]) => obeyedBy)).map(
    ([obeyedBy, paths = []]) => `| ${cell(obeyedBy)} | ${paths.map(([path]) => `\`${path}\``).join(', ')} |`,
  );
  return `## Protected paths

\`PROTECTED_PATHS=default\` protects these files and folders, relative to the top of the repository. A folder is protected
with its contents. Build scripts are not protected, since changing them is ordinary work. \`.gitattributes\` is not
protected either: the run and the pull request name new lines in it that make GitHub collapse a diff.

| obeyed by | paths |
| --- | --- |
${rows.join('\n')}
`;
}

/** @throws Error when a setting is in no section */
function document(): string {
  const documented = new Set(SECTIONS.flatMap(([, settings]) => Object.keys(settings)));
  const missing = Object.keys(Settings.properties).filter((name) => !documented.has(name));
  if (missing.length > 0) throw new Error(`In no section of scripts/configuration-docs.ts: ${missing.join(', ')}`);
  const sections = SECTIONS.map(([title, settings]) => `## ${title}\n\n${table(settings)}\n`);
  return [INTRODUCTION, ...sections, protectedPaths(), OTHER_VARIABLES].join('\n');
}

function table(settings: Readonly<Record<string, TSchema>>): string {
  const rows = Object.entries(settings).map(([name, schema]) =>
    [`\`${name}\``, values(schema), fallback(schema), schema.description ?? ''].map(cell).join(' | '),
  );
  return ['name | value | default | description', '--- | --- | --- | ---', ...rows]
    .map((row) => `| ${row} |`)
    .join('\n');
}

function values(schema: TSchema): string {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((option: TSchema) => `\`${option.const}\``).join(', ');
  if (schema.type === 'boolean') return '`true`, `false`';
  if (schema.type === 'integer') return `${schema.minimum} to ${schema.maximum}`;
  if (schema.format === 'uri') return 'URL';
  return schema.minLength > 1 ? `text of at least ${schema.minLength} characters` : 'text';
}

function fallback({ default: value }: TSchema): string {
  return value === undefined || value === '' ? '' : `\`${value}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

const wanted = document();
if (!process.argv.includes('--check')) {
  await writeFile(FILE, wanted);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) !== wanted) {
  console.error('docs/configuration.md is out of date. Run: npm run docs');
  process.exitCode = 1;
}
