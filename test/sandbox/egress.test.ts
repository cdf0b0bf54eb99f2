import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { createEgressProxy, type EgressOptions } from '../../src/sandbox/egress/egress-proxy.ts';
import { isPublicAddress } from '../../src/sandbox/egress/public-address.ts';
import { listenOnLoopback } from '../../src/sandbox/socket-forward.ts';
import { makeFolders, makeSandbox, type Owner } from './fixtures.ts';

async function listen(t: Owner, server: Server): Promise<number> {
  const { url, close } = await listenOnLoopback(server);
  t.teardown(close);
  return Number(new URL(url).port);
}

/** Starts a proxy that resolves every name to one public address and connects to `port` of loopback instead. */
async function makeProxy(t: Owner, options: Partial<EgressOptions> & { port?: number } = {}) {
  const denied: string[] = [];
  const dialed: { addresses: readonly LookupAddress[]; port: number }[] = [];
  const lookups: string[] = [];
  const { port: real = 0, ...given } = options;
  const proxy = createEgressProxy({
    allow: ['registry.example.org'],
    onDenied: (text) => denied.push(text),
    async lookup(host) {
      lookups.push(host);
      return [{ address: '8.8.8.8', family: 4 }];
    },
    dial(addresses, port) {
      dialed.push({ addresses, port });
      return connect(real, '127.0.0.1');
    },
    ...given,
  });
  const port = await listen(t, proxy);
  return { port, denied, dialed, lookups };
}

/** Opens a tunnel, sends `words` and returns the whole answer, with the status line. */
async function tunnel(port: number, target: string, words = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const [first] = await once(socket, 'data');
  if (!String(first).startsWith('HTTP/1.1 200')) return String(first);
  socket.end(words);
  return String(first) + (await text(socket));
}

async function plain(port: number, url: string, options: { method?: string; body?: string; headers?: object } = {}) {
  const { method = 'GET', body, headers = {} } = options;
  const sent = request({ host: '127.0.0.1', port, path: url, method, headers: { host: 'x', ...headers } });
  sent.end(body);
  const [answer]: IncomingMessage[] = await once(sent, 'response');
  return { status: answer?.statusCode, headers: answer?.headers, body: answer ? await text(answer) : '' };
}

t.test('`isPublicAddress` rejects every special-purpose address', (t) => {
  const special = [
    ...['0.0.0.0', '10.0.0.1', '100.64.0.1', '127.0.0.1', '127.255.255.255', '169.254.169.254', '172.16.0.1'],
    ...['172.31.255.255', '192.0.0.1', '192.0.2.1', '192.88.99.1', '192.168.1.1', '198.18.0.1', '198.51.100.1'],
    ...['203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '::', '::1', '::127.0.0.1', '::ffff:127.0.0.1'],
    ...['::ffff:8.8.8.8', '::ffff:7f00:1', '64:ff9b::7f00:1', '64:ff9b:1::1', '100::1', '2001::1', '2001:db8::1'],
    ...['2002:7f00:1::', '3fff::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1', 'fe80::1%lo', 'fec0::1', 'ff02::1'],
    ...['', 'localhost', '127.1', '0x7f000001', '2130706433'],
  ];
  for (const address of special) t.notOk(isPublicAddress(address), address);
  for (const address of ['8.8.8.8', '172.32.0.1', '198.20.0.1', '223.255.255.255', '2606:4700::1111', '2001:4860::1']) {
    t.ok(isPublicAddress(address), address);
  }
  t.end();
});

t.test('the proxy refuses an allowed name when it resolves to this machine or its network', async (t) => {
  // The machine resolves these names: this test has no stand-in for the lookup.
  const named = readFileSync('/etc/hosts', 'utf8')
    .split('\n')
    .filter((line) => /^(?:127\.|::1\s)/.test(line))
    .flatMap((line) => line.trim().split(/\s+/).slice(1));
  const literal = ['127.0.0.1', '169.254.169.254', '10.0.0.1', '0.0.0.0', '::1', '::', '::ffff:7f00:1', 'fe80::1'];
  const dialed: string[] = [];
  const denied: string[] = [];
  const proxy = createEgressProxy({
    allow: [...new Set(['localhost', ...named, ...literal])],
    onDenied: (text) => denied.push(text),
    dial(addresses) {
      dialed.push(...addresses.map(({ address }) => address));
      return connect(1, '127.0.0.1');
    },
  });
  const port = await listen(t, proxy);
  t.ok(named.length > 0);
  const spellings = ['0x7f.1', '127.1', '2130706433', '017700000001', '[::ffff:127.0.0.1]', 'LOCALHOST', 'localhost.'];
  const hosts = ['localhost', ...named, ...literal.map((ip) => (ip.includes(':') ? `[${ip}]` : ip)), ...spellings];
  for (const host of hosts) {
    t.match(await tunnel(port, `${host}:443`), /^HTTP\/1.1 403[\s\S]*not public/, `CONNECT ${host}`);
    t.match(await plain(port, `http://${host}/`), { status: 403, body: /not public/ }, `GET ${host}`);
  }
  t.same(dialed, [], 'the proxy opens no connection');
  t.match(denied[0], 'A connection to localhost:443 was refused: the name resolves to an address that is not public.');
});

t.test('a tunnel connects to the address that the proxy checked when the host is allowed', async (t) => {
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  const { port, dialed, lookups, denied } = await makeProxy(t, { port: await listen(t, echo) });
  t.match(await tunnel(port, 'registry.example.org:443', 'hello'), /^HTTP\/1.1 200 [\s\S]*\r\n\r\nhello$/);
  t.same(dialed, [{ addresses: [{ address: '8.8.8.8', family: 4 }], port: 443 }]);
  t.same([lookups, denied], [['registry.example.org'], []], 'one lookup');
});

t.test('the proxy forwards a plain request without hop-by-hop headers', async (t) => {
  const seen: { method: string | undefined; url: string | undefined; headers: object; body: string }[] = [];
  const host = createServer(async (incoming, response) => {
    const { method, url, headers } = incoming;
    seen.push({ method, url, headers, body: await text(incoming) });
    response.writeHead(201, { 'x-kept': '1', 'proxy-authenticate': 'x', connection: 'x-hop', 'x-hop': '1' });
    response.end('made');
  });
  const { port, dialed } = await makeProxy(t, { port: await listen(t, host) });
  const headers = { 'x-mine': '1', 'proxy-authorization': 'secret', connection: 'x-own', 'x-own': '1' };
  const answer = await plain(port, 'http://registry.example.org/a?b=c', { method: 'POST', body: 'words', headers });
  t.match(answer, { status: 201, headers: { 'x-kept': '1' }, body: 'made' });
  t.notOk(answer.headers?.['proxy-authenticate'] || answer.headers?.['x-hop']);
  t.match(seen, [{ method: 'POST', url: '/a?b=c', headers: { host: 'registry.example.org', 'x-mine': '1' } }]);
  t.equal(seen[0]?.body, 'words');
  t.notMatch(JSON.stringify(seen[0]?.headers), /proxy-authorization|x-own/);
  t.match(dialed, [{ port: 80 }]);
});

t.test('the proxy connects to a name that a wildcard allows, and fails when the name does not resolve', async (t) => {
  const deep = await makeProxy(t, { allow: ['*.deep.example.org'], port: 1 });
  t.match(await tunnel(deep.port, 'a.b.deep.example.org:443'), /the host did not answer/, 'it dials');
  const unknown = await makeProxy(t, { lookup: async () => Promise.reject(new Error('ENOTFOUND')) });
  t.match(await tunnel(unknown.port, 'registry.example.org:443'), /the name does not resolve/);
  t.same(unknown.dialed, []);
});

t.test('the proxy reports each refused host once, and stops after a limit', async (t) => {
  const { port, denied } = await makeProxy(t);
  for (let index = 0; index < 60; index += 1) {
    await tunnel(port, `host-${index}.example.org:443`);
    await tunnel(port, `host-${index}.example.org:443`);
  }
  await plain(port, `http://${'x'.repeat(1000)}.example.org/private?path`);
  t.equal(denied.length, 51);
  t.match(denied[0], 'A connection to host-0.example.org:443 was refused: EGRESS_ALLOW does not list the host.');
  t.equal(denied.at(-1), 'Further refused connections are not reported.');
});

t.test('a sandbox reaches the network only through the proxy, and only when hosts are allowed', async (t) => {
  const folders = await makeFolders(t);
  const closed = makeSandbox(folders, 'auto');
  t.notMatch((await closed.sh('env')).output, /proxy|BRIDGE/i, 'no proxy is set without allowed hosts');
  t.equal((await closed.sh('curl -sS --max-time 20 http://127.0.0.1:41702/')).code, 7, 'no port is open');

  const { sh } = makeSandbox(folders, 'auto', { EGRESS_ALLOW: ['localhost', 'registry.example.org'] });
  const denied: string[] = [];
  const onDenied = (text: string) => denied.push(text);
  t.match((await sh('env', { onDenied })).output, /^https_proxy=http:\/\/127\.0\.0\.1:41702$/m);
  t.notMatch((await sh('env', { onDenied })).output, /BRIDGE/, 'the bridge is not visible');
  const curl = await sh('curl -sS --max-time 20 https://evil.example/secret', { onDenied });
  t.match(curl, { code: 56, output: /403/ });
  t.match((await sh('curl -sS --max-time 20 --noproxy "*" https://evil.example', { onDenied })).code, 6);
  t.match(await sh('curl -sS --max-time 20 --noproxy none http://localhost/', { onDenied }), {
    output: 'Refused: the name resolves to an address that is not public.\n',
  });
  t.same(denied, [
    'A connection to evil.example:443 was refused: EGRESS_ALLOW does not list the host.',
    'A connection to localhost was refused: the name resolves to an address that is not public.',
  ]);
  t.match(await sh('exit 7'), { code: 7 }, 'the exit code is passed on');
  t.match(await sh('kill -TERM $$'), { code: 143 });
  t.match(await sh('exec nowhere 2>&1'), { code: 127 });
});
