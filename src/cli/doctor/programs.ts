import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Check, fail, ok } from './check.ts';

const MIN_NODE = [22, 19] as const;

/** Checks the versions of the programs that the server runs. */
export function programChecks(): Check[] {
  return [
    {
      name: 'node',
      run: async () =>
        isAtLeast(process.versions.node, MIN_NODE)
          ? ok(process.versions.node)
          : fail(
              `${process.versions.node} is older than ${MIN_NODE.join('.')}.`,
              'Install Node.js 24: https://nodejs.org',
            ),
    },
    program('git', [2, 38], 'apt-get install git, or https://git-scm.com/downloads'),
    program('gh', [2, 20], 'apt-get install gh, or https://cli.github.com'),
  ];
}

function program(name: string, least: readonly [number, number], remedy: string): Check {
  return {
    name,
    async run() {
      const output = await promisify(execFile)(name, ['--version']).catch(() => undefined);
      const version = /\d+\.\d+(?:\.\d+)?/.exec(output?.stdout ?? '')?.[0];
      if (version === undefined) return fail(`The command ${name} is missing or fails.`, remedy);
      return isAtLeast(version, least) ? ok(version) : fail(`${version} is older than ${least.join('.')}.`, remedy);
    },
  };
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [isMajor = 0, isMinor = 0] = version.split('.').map(Number);
  return isMajor > major || (isMajor === major && isMinor >= minor);
}
