import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createBubblewrap } from '../../src/sandbox/bubblewrap.ts';
import { testConfinement } from '../../src/sandbox/self-test.ts';
import type { Command, Confinement } from '../../src/sandbox/types.ts';
import { makeFolders } from './fixtures.ts';

const SECRETS = { GEMINI_API_KEY: 'AIzaSyStandInKey0123456789', GITHUB_TOKEN: 'ghp_standin0123456789' };

/** A filter of one instruction: `return SECCOMP_RET_ALLOW`. */
const ALLOW_ALL = Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f);

/** One wall less: what is done to the command that starts the sandbox, and what the self-test says then. */
const BREACHES: [name: string, breach: (command: Command, folders: { DATA_DIR: string }) => Command, said: RegExp][] = [
  [
    'the network is shared',
    options(['--unshare-all'], ['--unshare-all', '--share-net']),
    /network|services of the host/,
  ],
  [
    'user namespaces can be nested',
    (command) => options(['--seccomp', '4'], [])(options(['--disable-userns'], [])(command)),
    /a further user namespace can be made/,
  ],
  ['/proc can be written', options(['--remount-ro', '/proc'], []), /settings of the kernel can be written/],
  [
    'keys of the machine are listed',
    options(['--ro-bind', '/dev/null', '/proc/keys'], []),
    /the kernel can be inspected \(\/proc\/keys\)/,
  ],
  ['system calls are not filtered', options(['--seccomp', '4'], []), /system calls are not filtered/],
  [
    'the filter allows every call',
    ({ inputs = [], ...command }) => ({ ...command, inputs: [...inputs.slice(0, 1), ALLOW_ALL] }),
    /set-id bit/,
  ],
  ['capabilities are kept', options(['--cap-drop', 'ALL'], ['--cap-add', 'ALL']), /capabilities/],
  [
    '.git can be written',
    (command) => withInput(command, (text) => text.replaceAll(/--ro-bind\0[^\0]*\.git\0[^\0]*\0/g, '')),
    /\.git/,
  ],
  [
    'a reader may write',
    (command) => withInput(command, (text) => text.replaceAll(/--ro-bind(\0[^\0]*workspace\0)/g, '--bind$1')),
    /may only read/,
  ],
  [
    'a writer may not',
    (command) => withInput(command, (text) => text.replaceAll(/--bind(\0[^\0]*workspace\0)/g, '--ro-bind$1')),
    /cannot be written/,
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
    /a secret of the server can be seen/,
  ],
  [
    'a secret is in the arguments',
    (command) => ({ ...command, args: [...command.args, SECRETS.GITHUB_TOKEN] }),
    /a secret of the server can be seen/,
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

function withInput(command: Command, change: (text: string) => string): Command {
  const [text, ...others] = command.inputs ?? [];
  return { ...command, inputs: [change(String(text)), ...others] };
}

function options(found: string[], instead: string[]): (command: Command) => Command {
  const text = (list: string[]) => list.map((option) => `${option}\0`).join('');
  return (command) => withInput(command, (input) => input.replace(text(found), text(instead)));
}

t.test('a wall that does not stand is found', async (t) => {
  const folders = await makeFolders(t);
  await mkdir(join(folders.DATA_DIR, 'tmp'));
  const whole = createBubblewrap(folders);
  t.same(await testConfinement(whole, { ...folders, ...SECRETS }), { ok: true });
  for (const [name, breach, said] of BREACHES) {
    const broken: Confinement = {
      ...whole,
      command: async (request) => breach(await whole.command(request), folders),
    };
    t.match(await testConfinement(broken, { ...folders, ...SECRETS }), { ok: false, detail: said }, name);
  }
  t.match(
    await testConfinement(whole, { ...folders, ...SECRETS }, '/nowhere'),
    { ok: false, detail: /the command du is missing/, remedy: /coreutils/ },
    'workspaces without a limit are no sandbox either',
  );
});
