/** Checks imports in `src/` and `plugins/`, as a part of `npm run lint`. CONTRIBUTING.md explains the rules. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path/posix';

/** A module of `src/` imports only modules to its left. Modules in an inner list do not import each other. */
const MODULES = [
  ...['errors', 'json', 'config', 'files', 'concurrency', 'telemetry', 'redaction', 'store', 'events', 'keys'],
  ...['sandbox', 'trees', 'git', 'mirrors', 'workspaces', 'model-proxy', 'agents', ['plans', 'github'], 'runs'],
  ...['tickets', 'feed', 'housekeeping', 'cli'],
];

/** The only modules of `src/` that may import a library, so that it can be replaced in one place. */
const LIBRARIES: Record<string, readonly string[]> = {
  kysely: ['store'],
  'better-sqlite3': ['store'],
  'simple-git': ['git'],
  execa: ['sandbox', 'git', 'github'],
  '@agentclientprotocol/sdk': ['agents'],
  'prom-client': ['telemetry'],
  '@opentelemetry': ['telemetry'],
};

/** A folder of `plugins/` imports plugins of these folders only. Plugins use the decorators of others, not their files. */
const PLUGINS: Record<string, readonly string[]> = {
  core: ['core'],
  hooks: ['core', 'hooks'],
  services: ['services'],
  routes: ['core', 'routes'],
};

/** Commands that work on this machine instead of through the HTTP API of a server. */
const LOCAL_COMMANDS = /^src\/cli\/(?:doctor\/|(?:backup-command|connect|demo)\.ts$)/;

const files = execFileSync('git', ['ls-files', '--', 'src/**/*.ts', 'plugins/**/*.ts'], { encoding: 'utf8' });
const violations = files.split('\n').filter(Boolean).flatMap(checkFile);
for (const violation of violations) console.error(violation);
if (violations.length > 0) process.exitCode = 1;

function checkFile(file: string): string[] {
  const imports = readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?:[^']* from )?'([^']+)'/gm);
  return [...imports].flatMap(([, specifier = '']) => {
    const isOwn = specifier.startsWith('.');
    const violation = isOwn ? checkOwnImport(file, join(file, '..', specifier)) : checkLibraryImport(file, specifier);
    return violation === undefined ? [] : `${file}: ${violation}`;
  });
}

function checkLibraryImport(file: string, specifier: string): string | undefined {
  const name = Object.keys(LIBRARIES).find((library) => specifier === library || specifier.startsWith(`${library}/`));
  const [top, folder = ''] = file.split('/');
  if (top === 'plugins') {
    if (folder === 'routes' && specifier === 'fastify-plugin')
      return 'A route must be encapsulated, without fastify-plugin.';
    return name === undefined ? undefined : `Only src/ imports ${name}.`;
  }
  if (isModule(folder) && /^@?fastify\b/.test(specifier))
    return 'Only plugins/ and the files directly in src/ import Fastify.';
  const allowed = name === undefined ? undefined : LIBRARIES[name];
  if (allowed === undefined || allowed.includes(folder)) return undefined;
  return `Only src/${allowed.join(', src/')} imports ${name}.`;
}

function checkOwnImport(file: string, target: string): string | undefined {
  const [top, folder = ''] = file.split('/');
  const [targetTop = '', targetFolder = ''] = target.split('/');
  if (['standins', 'test', 'bench', 'scripts'].includes(targetTop) && folder !== 'cli')
    return `It must not import ${targetTop}/.`;
  if (top === 'plugins') return checkPluginImport(folder, target);
  if (!isModule(folder)) return undefined;
  if (targetTop === 'plugins' || target === 'src/app.ts') return 'A module of src/ must not import a plugin.';
  if (targetTop !== 'src' || folder === targetFolder) return undefined;
  if (rank(targetFolder) >= rank(folder))
    return `src/${folder} must not import src/${targetFolder}, which is to its right.`;
  if (folder === 'cli' && !LOCAL_COMMANDS.test(file)) return 'A command must use client/ to call the server.';
  return undefined;
}

function checkPluginImport(folder: string, target: string): string | undefined {
  const [targetTop, targetFolder = ''] = target.split('/');
  if (targetTop === 'src' && !isModule(targetFolder)) return 'A plugin must not import the application.';
  if (targetTop !== 'plugins' || PLUGINS[folder]?.includes(targetFolder)) return undefined;
  return `plugins/${folder} must not import plugins/${targetFolder}; use its decorator.`;
}

function isModule(folder: string): boolean {
  return rank(folder) !== -1;
}

function rank(module: string): number {
  return MODULES.findIndex((each) => [each].flat().includes(module));
}
