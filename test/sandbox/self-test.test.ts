import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createBubblewrap } from '../../src/sandbox/bubblewrap/bubblewrap.ts';
import { createConfine } from '../../src/sandbox/confined/confine.ts';
import { createIdentities } from '../../src/sandbox/identity.ts';
import { testConfinement } from '../../src/sandbox/self-test/self-test.ts';
import type { Command, Confinement } from '../../src/sandbox/types.ts';
import { LIMITS, makeFolders } from './fixtures.ts';

const SECRETS = { GEMINI_API_KEY: 'AIzaSyStandInKey0123456789', GITHUB_TOKEN: 'ghp_standin0123456789' };

type Breach = [name: string, breach: (command: Command, folders: { DATA_DIR: string }) => Command, detail: RegExp];

const IS_ROOT = process.getuid?.() === 0;
/** A filter of one instruction: `return SECCOMP_RET_ALLOW`. */
const ALLOW_ALL = Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f);

/** Changes to the command of the sandbox that each remove one part of the isolation, and the detail of the self-test. */
const BREACHES: Breach[] = [
  [
    'the network is shared',
    options(IS_ROOT ? ['--unshare-net'] : ['--unshare-all'], IS_ROOT ? [] : ['--unshare-all', '--share-net']),
    /network|services of the host/,
  ],
  [
    'user namespaces can be nested',
    (command) => options(['--seccomp', '4'], [])(IS_ROOT ? command : options(['--disable-userns'], [])(command)),
    /it can create a further user namespace/,
  ],
  ['/proc is writable', options(['--remount-ro', '/proc'], []), /it can write kernel settings/],
  [
    '/proc/keys is readable',
    options(['--ro-bind', '/dev/null', '/proc/keys'], []),
    /it can inspect the kernel \(\/proc\/keys\)/,
  ],
  [
    'system calls are not filtered',
    options(['--seccomp', '4'], []),
    // As root, the sandbox has no user namespace, so that only the filter prevents the creation of one.
    IS_ROOT ? /it can create a further user namespace/ : /system calls are not filtered/,
  ],
  [
    'the filter allows every call',
    ({ inputs, ...command }) => ({ ...command, inputs: inputs.with(1, ALLOW_ALL) }),
    IS_ROOT ? /it can create a further user namespace/ : /set-id bit/,
  ],
  ['capabilities are kept', keepCapabilities, /capabilities/],
  [
    '.git is writable',
    (command) => withInput(command, (text) => text.replaceAll(/--perms\0\d+\0--ro-bind-data\0\d+\0[^\0]*\.git\0/g, '')),
    /\.git/,
  ],
  [
    'a read-only sandbox can write',
    (command) => withInput(command, (text) => text.replaceAll(/--ro-bind(\0[^\0]*workspace\0)/g, '--bind$1')),
    /a read-only sandbox can write/,
  ],
  [
    'a writable sandbox cannot write',
    (command) => withInput(command, (text) => text.replaceAll(/--bind(\0[^\0]*workspace\0)/g, '--ro-bind$1')),
    /cannot write to its workspace/,
  ],
  [
    'the folders of the server are visible',
    (command, { DATA_DIR }) => withInput(command, (text) => `${text}--ro-bind\0${DATA_DIR}\0${DATA_DIR}\0`),
    /other workspaces/,
  ],
  [
    'the private keys of the machine are visible',
    options(['--dir', '/etc'], ['--dir', '/etc', '--dir', '/etc/ssl/private']),
    /keys of the machine/,
  ],
  [
    'the environment of the server is inherited',
    (command) => ({ ...command, args: command.args.slice(1), env: { PATH: '/usr/bin', SHELL: 'sh' } }),
    /variables of the server.*SHELL/,
  ],
  [
    'a secret is in the environment',
    (command) => ({ ...command, args: command.args.slice(1), env: { PATH: '/usr/bin', X: SECRETS.GEMINI_API_KEY } }),
    /it can see a secret of the server/,
  ],
  [
    'a secret is in the arguments',
    (command) => ({ ...command, args: [...command.args, SECRETS.GITHUB_TOKEN] }),
    /it can see a secret of the server/,
  ],
  [
    'resource limits are missing',
    ({ args, ...command }) => {
      const limits = args.indexOf('/usr/bin/prlimit');
      return { ...command, args: args.toSpliced(limits, args.indexOf('--', limits) - limits + 1) };
    },
    /prlimit is missing/,
  ],
];

const NOT_FOR_ROOT = new Set([
  'the folders of the server are visible',
  'the environment of the server is inherited',
  'a secret is in the environment',
]);

/** Keeps the capabilities. As root, this also removes setpriv, which drops them with the uid. */
function keepCapabilities(command: Command): Command {
  const { args, ...rest } = options(['--cap-drop', 'ALL'], ['--cap-add', 'ALL'])(command);
  const setpriv = args.indexOf('/usr/bin/setpriv');
  const kept = setpriv === -1 ? args : args.toSpliced(setpriv, args.indexOf('--', setpriv) - setpriv + 1);
  return { ...rest, args: kept };
}

function withInput(command: Command, change: (text: string) => string): Command {
  const [options, ...data] = command.inputs;
  const changed = new TextEncoder().encode(change(new TextDecoder().decode(options)));
  return { ...command, inputs: [changed, ...data] };
}

function options(found: string[], instead: string[]): (command: Command) => Command {
  const text = (list: string[]) => list.map((option) => `${option}\0`).join('');
  return (command) => withInput(command, (input) => input.replace(text(found), text(instead)));
}

t.test('the self-test fails when a part of the isolation is missing', async (t) => {
  const folders = await makeFolders(t);
  await mkdir(join(folders.DATA_DIR, 'tmp'));
  const config = { ...LIMITS, ...folders, ...SECRETS, SANDBOX: 'bubblewrap' } as const;
  const identities = createIdentities(config);
  const confine = createConfine(config, identities, process.env);
  const complete = createBubblewrap(folders, identities);
  const test = (confinement: Confinement, run = confine) => testConfinement(confinement, run, identities, config);
  t.same(await test(complete), { ok: true });
  for (const [name, breach, detail] of BREACHES) {
    // As root, the separate uid of the sandbox still denies access.
    if (IS_ROOT && NOT_FOR_ROOT.has(name)) continue;
    const broken: Confinement = {
      ...complete,
      command: async (request) => breach(await complete.command(request), folders),
    };
    t.match(await test(broken), { ok: false, detail }, name);
  }
  t.match(
    await test(complete, createConfine(config, identities, { PATH: '/nowhere' })),
    { ok: false, detail: /the command du is missing/, remedy: /coreutils/ },
    'the self-test fails when the disk quota cannot be measured',
  );
});
