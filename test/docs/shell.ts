import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Owner } from '../helpers/server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Local files of a checkout that are not part of the project. */
const NOT_THE_PROJECT = new Set(['.env', '.git', '.tap', 'data', 'tickets']);

export type Block = { language: string; line: number; text: string };

/** Returns the fenced blocks of a page (https://spec.commonmark.org/0.31.2/#fenced-code-blocks). */
export function blocksOf(page: string): Block[] {
  const markdown = readFileSync(join(ROOT, page), 'utf8');
  return [...markdown.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: language = '', 2: text = '' }) => ({
    language,
    line: markdown.slice(0, index).split('\n').length,
    text,
  }));
}

/** Returns the commands of a block. Joins continued lines and skips comment lines. */
export function commandsOf(block: Block): string[] {
  return block.text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Creates a folder of links to the checkout, so that commands write into this folder. */
export function makeCheckout(folder: string): string {
  mkdirSync(folder);
  for (const name of readdirSync(ROOT)) {
    if (!NOT_THE_PROJECT.has(name)) symlinkSync(join(ROOT, name), join(folder, name));
  }
  return folder;
}

let shells = 0;

/** Creates a shell session that keeps exported variables from command to command. */
export function createShell(t: Owner, cwd: string, env: Record<string, string>) {
  const variables = Object.entries({
    PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
    HOME: cwd,
    ...env,
  }).map(([name, value]) => `${name}=${value}`);

  const session = `.session-${++shells}`;

  // tap passes its loader to child processes through the environment; `env -i` keeps it out of the commands.
  function start(script: string) {
    const child = spawn('env', ['-i', ...variables, 'bash', '-o', 'pipefail', '-c', script], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const ended = once(child, 'close');
    t.teardown(async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) process.kill(-child.pid);
      await ended;
    });
    return { child, ended };
  }

  return {
    /** Runs a command and waits for its exit. curl fails on an error status. */
    async run(command: string): Promise<{ code: unknown; stdout: string; stderr: string }> {
      const { child, ended } = start(`
        curl() { command curl --fail-with-body "$@"; }
        [ ! -f ${session} ] || . ./${session}
        ${command}
        code=$?
        export -p >${session}
        exit $code`);
      const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
      return { code, stdout, stderr };
    },

    /** Starts a server that runs until the test ends, and returns its URL. */
    async serve(command: string): Promise<string> {
      const { child } = start(`exec ${command}`);
      let output = '';
      for await (const chunk of child.stdout.setEncoding('utf8')) {
        output += chunk;
        const [, url] = /Server listening at (http:[^"\s]+)/.exec(output) ?? [];
        if (url === undefined) continue;
        child.stdout.resume();
        return url;
      }
      throw new Error(`${command} exited: ${output}${await text(child.stderr)}`);
    },
  };
}
