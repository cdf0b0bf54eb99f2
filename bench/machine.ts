import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem, type } from 'node:os';
import packageJson from '../package.json' with { type: 'json' };

const FILE_SYSTEMS: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'XFS',
  2435016766: 'Btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
};

/** Describes hardware and versions in one paragraph. */
export function describeMachine(): string {
  const { dependencies } = packageJson;
  const git = execFileSync('git', ['--version'], { encoding: 'utf8' }).trim().replace('git version', 'git');
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const fileSystem = FILE_SYSTEMS[statfsSync(tmpdir()).type] ?? 'another file system';
  return [
    `${cpus().length} cores (${model}), ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release()}, ${fileSystem}, load ${loadavg()[0]?.toFixed(1)} at the start`,
    `Node ${process.versions.node}, ${git}, Fastify ${dependencies.fastify}, SQLite ${sqliteVersion()}, Gemini CLI ${dependencies['@google/gemini-cli']}`,
  ].join('; ');
}

function sqliteVersion(): string {
  const file = new URL('../node_modules/better-sqlite3/deps/sqlite3/sqlite3.h', import.meta.url);
  try {
    return /SQLITE_VERSION +"([^"]+)"/.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  } catch {
    return `of better-sqlite3 ${packageJson.dependencies['better-sqlite3']}`;
  }
}
