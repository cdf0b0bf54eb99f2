import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { createEgressProxy } from '../../src/sandbox/egress/egress-proxy.ts';
import { listenOnLoopback } from '../../src/sandbox/socket-forward.ts';

/**
 * The proxy to the outside as a process of its own. It is told on stdin, in JSON, what names lead to; instead of
 * connecting, it says on stdout, as lines of JSON, which address it would have connected to, and which it refused.
 */
const tell = (record: object) => console.log(JSON.stringify(record));
const { allow, answers }: { allow: string[]; answers: Record<string, string[][]> } = JSON.parse(
  await text(process.stdin),
);
const { url } = await listenOnLoopback(
  createEgressProxy({
    allow,
    onDenied: (text) => tell({ denied: text }),
    async lookup(host) {
      // A name may lead elsewhere each time it is asked for; an address leads to itself.
      const [next = [host], ...later] = answers[host] ?? [];
      if (later.length > 0) answers[host] = later;
      return next.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    },
    dial(addresses, port) {
      for (const { address } of addresses) tell({ dialed: `${address} ${port}` });
      return connect(1, '127.0.0.1');
    },
  }),
);
tell({ url });
