import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { createEgressProxy } from '../../src/sandbox/egress/egress-proxy.ts';
import { listenOnLoopback } from '../../src/sandbox/socket-forward.ts';

/**
 * Runs the egress proxy. It reads the allowed hosts and the addresses of names from stdin, as JSON. It prints its URL, each
 * address that it dials and each denial to stdout, as lines of JSON, and connects to none of them.
 */
const print = (record: object) => console.log(JSON.stringify(record));
const { allow, answers }: { allow: string[]; answers: Record<string, string[][]> } = JSON.parse(
  await text(process.stdin),
);
const { url } = await listenOnLoopback(
  createEgressProxy({
    allow,
    onDenied: (text) => print({ denied: text }),
    async lookup(host) {
      // Each lookup of a name may have another result; an address resolves to itself.
      const [next = [host], ...later] = answers[host] ?? [];
      if (later.length > 0) answers[host] = later;
      return next.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    },
    dial(addresses, port) {
      for (const { address } of addresses) print({ dialed: `${address} ${port}` });
      return connect(1, '127.0.0.1');
    },
  }),
);
print({ url });
