import type { Edit } from './remove-defences.ts';

/**
 * Requests of a program in the sandbox that the egress proxy must refuse. The attacker controls the name server.
 */
export type EgressAttack = {
  name: string;
  /** Request lines: `CONNECT` with a host and a port, or `GET` with a URL. */
  requests: readonly string[];
  /** Addresses of a name for the first lookup, the second and so on. */
  answers?: Record<string, string[][]>;
  /** Addresses and ports that the proxy must not dial. */
  harm: RegExp;
  without: readonly Edit[];
};

/** `EGRESS_ALLOW` of all attacks. */
export const ALLOWED = ['registry.example.org', '*.deep.example.org', 'localhost', '10.0.0.1', '127.0.0.1', '::1'];

const PROXY = 'src/sandbox/egress/egress-proxy.ts';
const REGISTRY = 'registry.example.org';

const ANY_ADDRESS: Edit = {
  file: PROXY,
  from: 'addresses.every(({ address }) => isPublicAddress(address))',
  to: 'true',
};
const ANY_HOST: Edit = { file: PROXY, from: 'if (!isAllowed(host))', to: 'if (host === null)' };
const ANY_PORT: Edit = { file: PROXY, from: 'if (!PORTS.has(port))', to: 'if (port === 0)' };

/** An allowed name that resolves to an address that is not public. */
const resolvesTo = (name: string, address: string): EgressAttack => ({
  name,
  requests: [`CONNECT ${REGISTRY}:443`, `GET http://${REGISTRY}/`],
  answers: { [REGISTRY]: [[address]] },
  harm: /./,
  without: [ANY_ADDRESS],
});

export const EGRESS_ATTACKS: readonly EgressAttack[] = [
  resolvesTo('an allowed name resolves to this machine', '127.0.0.1'),
  resolvesTo('an allowed name resolves to a private network', '10.1.2.3'),
  resolvesTo('an allowed name resolves to a cloud metadata service', '169.254.169.254'),
  resolvesTo('an allowed name resolves to the unspecified address', '0.0.0.0'),
  resolvesTo('an allowed name resolves to this machine by IPv6', '::1'),
  resolvesTo('an allowed name resolves to this machine by an IPv4-mapped address', '::ffff:7f00:1'),
  resolvesTo('an allowed name resolves to this machine through NAT64', '64:ff9b::7f00:1'),
  resolvesTo('an allowed name resolves to a unique local IPv6 address', 'fd00:ec2::254'),
  resolvesTo('an allowed name resolves to a link-local IPv6 address', 'fe80::1'),
  {
    name: 'an allowed name resolves to public and private addresses',
    requests: [`CONNECT ${REGISTRY}:443`],
    answers: { [REGISTRY]: [['8.8.8.8', '10.0.0.1']] },
    harm: /^10\./m,
    without: [{ file: PROXY, from: 'addresses.every(', to: 'addresses.some(' }],
  },
  {
    name: 'an allowed name resolves to another address the second time',
    requests: [`CONNECT ${REGISTRY}:443`],
    answers: { [REGISTRY]: [['8.8.8.8'], ['127.0.0.1']] },
    harm: /^127\./m,
    without: [{ file: PROXY, from: 'dial(addresses, port)', to: 'dial(await lookup(host), port)' }],
  },
  {
    name: 'a program reaches this machine by another spelling',
    requests: ['localhost', 'LOCALHOST', 'localhost.', '127.0.0.1', '0x7f.1', '127.1', '2130706433', '[::1]'].flatMap(
      (host) => [`CONNECT ${host}:443`, `GET http://${host}/`],
    ),
    answers: { localhost: [['127.0.0.1']] },
    harm: /./,
    without: [ANY_ADDRESS],
  },
  {
    name: 'a program reaches a host that is not allowed',
    requests: ['CONNECT evil.example:443', 'GET http://evil.example/', 'CONNECT 8.8.8.8:443'],
    answers: { 'evil.example': [['8.8.8.8']] },
    harm: /./,
    without: [ANY_HOST],
  },
  {
    name: 'a name has an allowed name as its prefix',
    requests: [`CONNECT ${REGISTRY}.evil.example:443`, `GET http://${REGISTRY}.evil.example/`],
    answers: { [`${REGISTRY}.evil.example`]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'host === name', to: 'host.startsWith(name)' }],
  },
  {
    name: 'a name has an allowed name as its suffix',
    requests: [
      'CONNECT evil-registry.example.org:443',
      'CONNECT xdeep.example.org:443',
      'CONNECT deep.example.org:443',
    ],
    answers: {
      'evil-registry.example.org': [['8.8.8.8']],
      'xdeep.example.org': [['8.8.8.8']],
      'deep.example.org': [['8.8.8.8']],
    },
    harm: /./,
    without: [
      { file: PROXY, from: 'host.endsWith(name.slice(1))', to: 'host.endsWith(name.slice(2))' },
      { file: PROXY, from: 'host === name', to: 'host.endsWith(name)' },
    ],
  },
  {
    name: 'a URL has an allowed host as its user',
    requests: [
      `CONNECT ${REGISTRY}@evil.example:443`,
      `GET http://${REGISTRY}@evil.example/`,
      `GET http://a:b@${REGISTRY}/`,
    ],
    answers: { [REGISTRY]: [['8.8.8.8']], 'evil.example': [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: "if (username !== '' || password !== '')", to: 'if (username === null)' }],
  },
  {
    name: 'a program reaches another port of an allowed host',
    requests: [`CONNECT ${REGISTRY}:22`, `GET http://${REGISTRY}:6379/`, `CONNECT ${REGISTRY}:8443`],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [ANY_PORT],
  },
  {
    name: 'a program sends a malformed host',
    requests: [
      ...[`CONNECT ${REGISTRY}%00.evil.example:443`, `CONNECT ${REGISTRY}:65536`, 'CONNECT :443'],
      ...[`CONNECT ${REGISTRY}:443/x`],
    ],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'if (!/^[^/?#@\\s]+:\\d+$/.test(authority))', to: 'if (authority === null)' }],
  },
  {
    name: 'a program uses another protocol',
    requests: [`GET ftp://${REGISTRY}:80/`, `GET //${REGISTRY}/`, `GET /${REGISTRY}`, 'GET *', `CONNECT ${REGISTRY}`],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'if (!/^http:\\/\\//i.test(url))', to: 'if (url === null)' }],
  },
];
