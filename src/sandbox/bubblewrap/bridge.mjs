// Runs in a sandbox, which has no network. Forwards connections from loopback ports to Unix sockets of the server.
// BRIDGE lists them as `port=path,port=path`. A Node program preloads it: `node --import bridge.mjs program.mjs`.
// Any other program runs as its child: `node bridge.mjs program ...`.
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
// Worker threads and child processes must not open a second bridge.
delete process.env.BRIDGE;
// The compile cache holds the code of this program only.
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
