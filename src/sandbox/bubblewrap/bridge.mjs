// Runs inside a sandbox, which has no network: what connects to a loopback port reaches a Unix socket of the server.
// BRIDGE names them, as `port=path,port=path`. As a preload (`node --import bridge.mjs program.mjs`) it lives and ends
// with that program; `node bridge.mjs program ...` does the same for a program that is not one of Node.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import { pipeline } from 'node:stream';

for (const entry of (process.env.BRIDGE ?? '').split(',').filter(Boolean)) {
  const [port, path] = entry.split('=');
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (inside) => {
    pipeline(inside, connect({ path, allowHalfOpen: true }), inside, () => {});
  });
  await once(server.listen(Number(port), '127.0.0.1'), 'listening');
  server.unref();
}
// Other programs of Node, and its workers, find nothing to do here.
delete process.env.BRIDGE;
// It is of use for one program only.
delete process.env.NODE_COMPILE_CACHE;

if (process.argv[1] === import.meta.filename) {
  const [program, ...args] = process.argv.slice(2);
  const child = spawn(program, args, { stdio: 'inherit' });
  child.once('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(127);
  });
  child.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}
