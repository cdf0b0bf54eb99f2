import type { Edit } from './take-away.ts';

/**
 * What a program in the sandbox asks the proxy for, to get where it must not. The names lead where the attacker's name
 * server says.
 */
export type EgressAttack = {
  name: string;
  /** What it asks for: `CONNECT` with a host and a port, or `GET` with a URL. */
  requests: readonly string[];
  /** Addresses that a name leads to: those of the first time it is asked for, of the second and so on. */
  answers?: Record<string, string[][]>;
  /** What must not be connected to, as address and port. */
  harm: RegExp;
  without: readonly Edit[];
};

/** `EGRESS_ALLOW` of all of them. */
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

/** An allowed name that leads to an address which is not public. */
const leadsTo = (name: string, address: string): EgressAttack => ({
  name,
  requests: [`CONNECT ${REGISTRY}:443`, `GET http://${REGISTRY}/`],
  answers: { [REGISTRY]: [[address]] },
  harm: /./,
  without: [ANY_ADDRESS],
});

export const EGRESS_ATTACKS: readonly EgressAttack[] = [
  leadsTo('an allowed name that leads to this machine', '127.0.0.1'),
  leadsTo('an allowed name that leads to a private network', '10.1.2.3'),
  leadsTo('an allowed name that leads to the metadata of a cloud', '169.254.169.254'),
  leadsTo('an allowed name that leads to an unspecified address', '0.0.0.0'),
  leadsTo('an allowed name that leads to this machine by IPv6', '::1'),
  leadsTo('an allowed name that leads to this machine by a mapped address', '::ffff:7f00:1'),
  leadsTo('an allowed name that leads to this machine through a translator', '64:ff9b::7f00:1'),
  leadsTo('an allowed name that leads to a local network by IPv6', 'fd00:ec2::254'),
  leadsTo('an allowed name that leads to a neighbour by IPv6', 'fe80::1'),
  {
    name: 'a private address among public ones',
    requests: [`CONNECT ${REGISTRY}:443`],
    answers: { [REGISTRY]: [['8.8.8.8', '10.0.0.1']] },
    harm: /^10\./m,
    without: [{ file: PROXY, from: 'addresses.every(', to: 'addresses.some(' }],
  },
  {
    name: 'a name that leads elsewhere the second time',
    requests: [`CONNECT ${REGISTRY}:443`],
    answers: { [REGISTRY]: [['8.8.8.8'], ['127.0.0.1']] },
    harm: /^127\./m,
    without: [{ file: PROXY, from: 'dial(addresses, port)', to: 'dial(await lookup(host), port)' }],
  },
  {
    name: 'this machine in many spellings',
    requests: ['localhost', 'LOCALHOST', 'localhost.', '127.0.0.1', '0x7f.1', '127.1', '2130706433', '[::1]'].flatMap(
      (host) => [`CONNECT ${host}:443`, `GET http://${host}/`],
    ),
    answers: { localhost: [['127.0.0.1']] },
    harm: /./,
    without: [ANY_ADDRESS],
  },
  {
    name: 'a host that is not named',
    requests: ['CONNECT evil.example:443', 'GET http://evil.example/', 'CONNECT 8.8.8.8:443'],
    answers: { 'evil.example': [['8.8.8.8']] },
    harm: /./,
    without: [ANY_HOST],
  },
  {
    name: 'a name that begins like an allowed one',
    requests: [`CONNECT ${REGISTRY}.evil.example:443`, `GET http://${REGISTRY}.evil.example/`],
    answers: { [`${REGISTRY}.evil.example`]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'host === name', to: 'host.startsWith(name)' }],
  },
  {
    name: 'a name that ends like an allowed one',
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
    name: 'an allowed host that is only a user',
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
    name: 'another port of an allowed host',
    requests: [`CONNECT ${REGISTRY}:22`, `GET http://${REGISTRY}:6379/`, `CONNECT ${REGISTRY}:8443`],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [ANY_PORT],
  },
  {
    name: 'what is no host',
    requests: [
      ...[`CONNECT ${REGISTRY}%00.evil.example:443`, `CONNECT ${REGISTRY}:65536`, 'CONNECT :443'],
      ...[`CONNECT ${REGISTRY}:443/x`],
    ],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'if (!/^[^/?#@\\s]+:\\d+$/.test(authority))', to: 'if (authority === null)' }],
  },
  {
    name: 'another protocol',
    requests: [`GET ftp://${REGISTRY}:80/`, `GET //${REGISTRY}/`, `GET /${REGISTRY}`, 'GET *', `CONNECT ${REGISTRY}`],
    answers: { [REGISTRY]: [['8.8.8.8']] },
    harm: /./,
    without: [{ file: PROXY, from: 'if (!/^http:\\/\\//i.test(url))', to: 'if (url === null)' }],
  },
];
