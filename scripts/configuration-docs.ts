import { readFile, writeFile } from 'node:fs/promises';
import type { TSchema } from '@sinclair/typebox';
import { DEFAULT_PROTECTED_PATHS } from '../src/config/protected-paths.ts';
import { Settings } from '../src/config/settings.ts';

/** Writes `docs/configuration.md` from the settings. `--check` writes nothing, and fails if the file is not up to date. */

const FILE = new URL('../docs/configuration.md', import.meta.url);

const GROUPS: readonly [title: string, names: readonly (keyof Settings)[]][] = [
  ['Server', ['PORT', 'HOST', 'LOG_LEVEL', 'DATA_DIR', 'TICKETS_ROOT', 'SHUTDOWN_SECONDS', 'LEASE_SECONDS']],
  [
    'Disk and retention',
    [
      'MIN_FREE_DISK_MB',
      'RETAIN_EVENTS_DAYS',
      'RETAIN_RUNS_DAYS',
      'RETAIN_RUNS_PER_TICKET',
      'RETAIN_CONVERSATIONS_DAYS',
      'RETAIN_WORKSPACES_DAYS',
      'RETAIN_AUDIT_DAYS',
    ],
  ],
  [
    'Access',
    [
      'API_KEY',
      'ALLOWED_HOSTS',
      'CORS_ORIGINS',
      'TRUST_PROXY',
      'RATE_LIMIT_PER_MINUTE',
      'KEY_RATE_LIMIT_PER_MINUTE',
      'AUTH_FAILURES_PER_MINUTE',
      'MAX_RUNS_PER_KEY',
      'MAX_STREAMS_PER_KEY',
    ],
  ],
  [
    'Repositories and GitHub',
    [
      'ALLOWED_REPO_HOSTS',
      'GITHUB_TOKEN',
      'GITHUB_TOKEN_FILE',
      'GITHUB_HOST',
      'GITHUB_APP_ID',
      'GITHUB_APP_PRIVATE_KEY_FILE',
      'GITHUB_APP_INSTALLATION_ID',
      'GITHUB_HTTP_UNIX_SOCKET',
      'PROTECTED_PATHS',
      'GIT_AUTHOR_NAME',
      'GIT_AUTHOR_EMAIL',
      'GIT_TIMEOUT_SECONDS',
      'FETCH_TTL_SECONDS',
      'SPARE_CHECKOUTS',
    ],
  ],
  [
    'Runs',
    [
      'MAX_CONCURRENT_RUNS',
      'MAX_QUEUED_RUNS',
      'RUN_TIMEOUT_SECONDS',
      'RUN_MAX_ATTEMPTS',
      'MAX_TURNS_PER_RUN',
      'REQUIRE_PLAN_APPROVAL',
      'VERIFY_COMMAND',
      'VERIFY_ATTEMPTS',
    ],
  ],
  [
    'Traces',
    [
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_HEADERS_FILE',
      'OTEL_SERVICE_NAME',
    ],
  ],
  [
    'Agents and models',
    [
      'AGENT',
      'AGENT_IDLE_SECONDS',
      'AGENT_POOL_SPARE',
      'AGENT_POOL_SIZE',
      'AGENT_POOL_MEMORY_MB',
      'AGENT_START_SECONDS',
      'AGENT_SILENCE_SECONDS',
      'SANDBOX',
      'SANDBOX_UIDS',
      'SANDBOX_MEMORY_MB',
      'SANDBOX_CPUS',
      'ASK_PERMISSION',
      'PERMISSION_TIMEOUT_SECONDS',
      'EGRESS_ALLOW',
      'MAX_WORKSPACE_MB',
      'MAX_RUN_OUTPUT_MB',
      'MAX_TOKENS_PER_RUN',
      'MAX_TOKENS_PER_KEY_PER_DAY',
      'GEMINI_API_KEY',
      'GEMINI_API_KEY_FILE',
      'GEMINI_MODEL',
      'GOOGLE_GEMINI_BASE_URL',
    ],
  ],
];

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/settings.ts by \`npm run docs\`. -->

Each setting is an environment variable, or a line \`NAME=value\` in the file \`.env\` of the folder in which the server
starts. The environment takes precedence. An empty value counts as unset. If a value is invalid, the server does not start,
and reports all problems at once.
`;

const NOT_SETTINGS = `## Environment variables

These are not settings, and \`.env\` does not set them. The server passes \`HTTPS_PROXY\`, \`NO_PROXY\`, \`SSL_CERT_FILE\` and
\`SSL_CERT_DIR\` of its environment to git and gh. Calls of the model also use \`HTTPS_PROXY\` (\`HTTP_PROXY\` for an \`http:\`
relay; on Node.js 22 from 22.21 on), with the certificates of \`NODE_EXTRA_CA_CERTS\`. Agents get none of these. They get proxy
variables of their own if \`EGRESS_ALLOW\` names hosts.
`;

/** Renders the paths of `PROTECTED_PATHS=default`, by the program that obeys them. */
function protectedPaths(): string {
  const rows = Object.entries(Object.groupBy(DEFAULT_PROTECTED_PATHS, ([, obeyedBy]) => obeyedBy)).map(
    ([obeyedBy, paths = []]) => `| ${cell(obeyedBy)} | ${paths.map(([path]) => `\`${path}\``).join(', ')} |`,
  );
  return `## Protected paths

\`PROTECTED_PATHS=default\` protects these paths, relative to the root of the repository, and everything in these folders. Build
scripts are not protected, because agents work on them. Nor is \`.gitattributes\`: the run and the pull request name its new
lines by which GitHub folds a change.

| obeyed by | paths |
| --- | --- |
${rows.join('\n')}
`;
}

/** Renders the whole document. @throws Error if a setting is in no group, or in two */
function document(): string {
  const grouped = GROUPS.flatMap(([, names]) => names);
  const all = Object.keys(Settings.properties);
  const wrong = all.filter((name) => grouped.filter((other) => other === name).length !== 1);
  if (wrong.length > 0)
    throw new Error(`Not in exactly one group of scripts/configuration-docs.ts: ${wrong.join(', ')}`);
  const sections = GROUPS.map(([title, names]) => `## ${title}\n\n${table(names)}\n`);
  return [INTRODUCTION, ...sections, protectedPaths(), NOT_SETTINGS].join('\n');
}

function table(names: readonly (keyof Settings)[]): string {
  const rows = names.map((name) => {
    const schema = Settings.properties[name];
    return [`\`${name}\``, values(schema), fallback(schema), schema.description ?? ''].map(cell).join(' | ');
  });
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
  console.error('docs/configuration.md is outdated. Run: npm run docs');
  process.exitCode = 1;
}
