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

type Breach = [name: string, breach: (command: Command, folders: { DATA_DIR: string }) => Command, said: RegExp];

const IS_ROOT = process.getuid?.() === 0;
/** A filter of one instruction: `return SECCOMP_RET_ALLOW`. */
const ALLOW_ALL = Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f);

/** One wall less: what is done to the command that starts the sandbox, and what the self-test says then. */
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
  ['/proc can be written', options(['--remount-ro', '/proc'], []), /it can write kernel settings/],
  [
    'keys of the machine are listed',
    options(['--ro-bind', '/dev/null', '/proc/keys'], []),
    /it can inspect the kernel \(\/proc\/keys\)/,
  ],
  [
    'system calls are not filtered',
    options(['--seccomp', '4'], []),
    // Root makes no user namespace for a sandbox: there, the filter alone keeps others from making one.
    IS_ROOT ? /it can create a further user namespace/ : /system calls are not filtered/,
  ],
  [
    'the filter allows every call',
    ({ inputs, ...command }) => ({ ...command, inputs: inputs.with(1, ALLOW_ALL) }),
    IS_ROOT ? /it can create a further user namespace/ : /set-id bit/,
  ],
  ['capabilities are kept', keepCapabilities, /capabilities/],
  [
    '.git can be written',
    (command) => withInput(command, (text) => text.replaceAll(/--perms\0\d+\0--ro-bind-data\0\d+\0[^\0]*\.git\0/g, '')),
    /\.git/,
  ],
  [
    'a reader may write',
    (command) => withInput(command, (text) => text.replaceAll(/--ro-bind(\0[^\0]*workspace\0)/g, '--bind$1')),
    /a read-only sandbox can write/,
  ],
  [
    'a writer may not',
    (command) => withInput(command, (text) => text.replaceAll(/--bind(\0[^\0]*workspace\0)/g, '--ro-bind$1')),
    /cannot write to its workspace/,
  ],
  [
    'the folders of the server are shown',
    (command, { DATA_DIR }) => withInput(command, (text) => `${text}--ro-bind\0${DATA_DIR}\0${DATA_DIR}\0`),
    /other workspaces/,
  ],
  [
    'the keys of the machine are shown',
    options(['--dir', '/etc'], ['--dir', '/etc', '--dir', '/etc/ssl/private']),
    /keys of the machine/,
  ],
  [
    'the environment is handed on',
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
    'there are no limits',
    ({ args, ...command }) => {
      const limits = args.indexOf('/usr/bin/prlimit');
      return { ...command, args: args.toSpliced(limits, args.indexOf('--', limits) - limits + 1) };
    },
    /prlimit is missing/,
  ],
];

const NOT_FOR_ROOT = new Set([
  'the folders of the server are shown',
  'the environment is handed on',
  'a secret is in the environment',
]);

/** Root leaves its capabilities behind with its uid. */
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

t.test('a wall that does not stand is found', async (t) => {
  const folders = await makeFolders(t);
  await mkdir(join(folders.DATA_DIR, 'tmp'));
  const config = { ...LIMITS, ...folders, ...SECRETS, SANDBOX: 'bubblewrap' } as const;
  const identities = createIdentities(config);
  const confine = createConfine(config, identities, process.env);
  const whole = createBubblewrap(folders, identities);
  const test = (confinement: Confinement, run = confine) => testConfinement(confinement, run, identities, config);
  t.same(await test(whole), { ok: true });
  for (const [name, breach, said] of BREACHES) {
    // The uid of the sandbox keeps what these would show from it, all the same.
    if (IS_ROOT && NOT_FOR_ROOT.has(name)) continue;
    const broken: Confinement = {
      ...whole,
      command: async (request) => breach(await whole.command(request), folders),
    };
    t.match(await test(broken), { ok: false, detail: said }, name);
  }
  t.match(
    await test(whole, createConfine(config, identities, { PATH: '/nowhere' })),
    { ok: false, detail: /the command du is missing/, remedy: /coreutils/ },
    'workspaces without a limit are no sandbox either',
  );
});
