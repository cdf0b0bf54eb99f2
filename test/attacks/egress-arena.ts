import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { withoutDefences } from './client-arena.ts';
import { ALLOWED, type EgressAttack } from './egress-attacks.ts';
import type { Edit } from './remove-defences.ts';

const PROCESS = fileURLToPath(new URL('egress-process.ts', import.meta.url));

/**
 * Runs an attack on the egress proxy in a separate process.
 * @param edits changes that remove defences
 * @returns the addresses and ports that it dialed, one a line, the status line of each answer, and the number of denials
 */
export async function attackProxy({ requests, answers = {} }: EgressAttack, edits: readonly Edit[] = []) {
  const { nodeArgs, env } = withoutDefences({ edits });
  const variables = Object.entries({ PATH: process.env.PATH, ...env }).map(([name, value]) => `${name}=${value}`);
  const child = spawn('env', ['-i', ...variables, process.execPath, ...nodeArgs, PROCESS], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const dialed: string[] = [];
  let denials = 0;
  try {
    const { promise: listening, resolve } = Promise.withResolvers<string>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const record: { url?: string; dialed?: string; denied?: string } = JSON.parse(line);
      if (record.url !== undefined) resolve(record.url);
      if (record.dialed !== undefined) dialed.push(record.dialed);
      if (record.denied !== undefined) denials += 1;
    });
    child.stdin.end(JSON.stringify({ allow: ALLOWED, answers }));
    const port = Number(new URL(await listening).port);
    const statuses: string[] = [];
    for (const request of requests) {
      const socket = connect(port, '127.0.0.1');
      socket.write(`${request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      statuses.push((await text(socket)).split('\r\n')[0] ?? '');
    }
    return { dialed: dialed.join('\n'), statuses, denials };
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}
