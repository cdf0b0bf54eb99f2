import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { GitHub } from '../../standins/github.ts';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { commitEntries, type Entry, TOKEN } from '../workspaces/world.ts';

/** What only files outside of the workspace hold. */
const OUTSIDE = 'content of a file outside of the workspace';
const SHARED = Array.from({ length: 9 }, (_, index) => `line ${index}\n`);

/** Where one attack is carried out: a repository, a workspace of it, and what must stay untouched around them. */
export type Arena = {
  /** `OWNER/NAME`. */
  repository: string;
  branch: string;
  workspace: string;
  /** The folder `.git` in the workspace, with all that a clone has. */
  gitDir: string;
  /** A program that leaves a mark, copies its input to its output, and succeeds. */
  program: string;
  /** A folder outside of the workspace with a file `secret.txt`. */
  outside: string;
  /** Address of a server that nobody has reason to talk to. */
  evil: string;
  /** Address of the stand-in for GitHub, as the git of the attack's victim has it. */
  upstream: string;
  /** Adds to the configuration in `.git`. */
  config(text: string): Promise<void>;
  /** Writes a file of the workspace. */
  write(path: string, content: string): Promise<void>;
  /** Runs git plainly in the workspace, as an agent does. */
  git(...args: string[]): string;
};

/** Git as a naive server has it: with the configuration of a home folder, and a program that tells the token to anybody. */
export function plainEnvironment(home: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: home,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: join(home, 'askpass'),
    GIT_TOKEN: TOKEN,
    GIT_EDITOR: 'true',
  };
}

/**
 * The surroundings of attacks, one after another.
 * @param root an empty folder
 * @param repositories that of the bare repositories
 */
export async function createArenas(root: string, github: GitHub, repositories = join(root, 'github')) {
  const home = join(root, 'home');
  const outside = join(root, 'outside');
  const program = join(root, 'program');
  const mark = join(root, 'mark');
  const hits: string[] = [];
  const server = createServer((request, response) => {
    hits.push(request.headers.authorization ?? request.headers['proxy-authorization'] ?? 'no credentials');
    response.writeHead(401, { 'www-authenticate': 'Basic realm="evil"' }).end();
  });
  const evil = await listenOnPort(server);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'askpass'), '#!/bin/sh\necho "$GIT_TOKEN"\n', { mode: 0o755 });
  await writeFile(program, `#!/bin/sh\nenv >>${mark}\nexec cat\n`);
  await chmod(program, 0o755);
  // As with git-lfs, which people install for all repositories.
  const filter = `[filter "lfs"]\n\tclean = ${program}\n\tsmudge = ${program}\n`;
  await writeFile(
    join(home, '.gitconfig'),
    `[user]\n\tname = A person\n\temail = a@b.example\n[push]\n\tdefault = current\n[pull]\n\trebase = false\n${filter}`,
  );

  function bare(repository: string, ...args: string[]): string {
    const directory = join(repositories, `${repository}.git`);
    return execFileSync('git', ['--git-dir', directory, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trimEnd();
  }

  const otherRefs = ({ repository, branch }: Arena) =>
    bare(repository, 'for-each-ref', '--format=%(refname) %(objectname)')
      .split('\n')
      .filter((line) => !line.startsWith(`refs/heads/${branch} `))
      .join('\n');

  return {
    home,

    /** A repository with a few files and those of the attack. */
    async addRepository(repository: string, entries: readonly Entry[]): Promise<void> {
      const { directory } = await github.addRepository(repository, { private: true });
      commitEntries(directory, [
        { path: 'shared.txt', content: SHARED.join('') },
        { path: 'docs/c.txt', content: 'c\n' },
        ...entries,
      ]);
    },

    /** An arena around a workspace; everything that earlier attacks left is gone. */
    async enter(repository: string, branch: string, workspace: string): Promise<Arena> {
      await rm(outside, { recursive: true, force: true });
      await mkdir(outside, { recursive: true });
      await writeFile(join(outside, 'secret.txt'), OUTSIDE);
      const gitDir = join(workspace, '.git');
      const environment = plainEnvironment(home);
      return {
        repository,
        branch,
        workspace,
        gitDir,
        program,
        outside,
        evil,
        upstream: github.url,
        async config(text) {
          await writeFile(join(gitDir, 'config'), `${await readFile(join(gitDir, 'config'), 'utf8')}\n${text}\n`);
        },
        async write(path, content) {
          await mkdir(join(workspace, path, '..'), { recursive: true });
          await writeFile(join(workspace, path), content);
        },
        git: (...args) =>
          execFileSync('git', ['-c', 'safe.directory=*', ...args], {
            cwd: workspace,
            env: environment,
            encoding: 'utf8',
            stdio: 'pipe',
          }).trimEnd(),
      };
    },

    /** The honest part of the work, which has to be published. */
    async work(arena: Arena): Promise<void> {
      await arena.write('work.txt', 'work\n');
      await arena.write('shared.txt', ['mine\n', ...SHARED.slice(1)].join(''));
    },

    /** Somebody else's work on the base branch, which comes in by a merge. */
    async moveUpstream({ repository }: Arena): Promise<void> {
      await github.commit(repository, {
        files: { 'shared.txt': [...SHARED.slice(0, -1), 'theirs\n'].join(''), 'theirs.txt': 'theirs\n' },
      });
    },

    forget(): Promise<void> {
      hits.length = 0;
      return rm(mark, { force: true });
    },

    refsOfOthers: otherRefs,

    /**
     * What the attack achieved.
     * @param before other refs of the repository before it
     */
    async damage(arena: Arena, before: string): Promise<string[]> {
      const { repository, branch } = arena;
      const has = (...args: string[]) => {
        try {
          return bare(repository, ...args);
        } catch {
          return '';
        }
      };
      const secret = await readFile(join(outside, 'secret.txt'), 'utf8').catch(() => '');
      const ran = existsSync(mark);
      const withToken = hits.filter((hit) => hit !== 'no credentials').length;
      return [
        ...(ran ? [`ran a program${(await readFile(mark, 'utf8')).includes(TOKEN) ? ' with the token' : ''}`] : []),
        ...(hits.length > 0 ? [withToken > 0 ? 'sent the token elsewhere' : 'talked to another server'] : []),
        ...(secret === OUTSIDE ? [] : ['changed a file outside']),
        ...(has('grep', '-l', OUTSIDE, branch) === '' ? [] : ['published a file from outside']),
        ...(otherRefs(arena) === before ? [] : ['pushed other refs']),
        ...(has('show', `${branch}:work.txt`) === 'work' && /^mine$/m.test(has('show', `${branch}:shared.txt`))
          ? []
          : ['kept the work out']),
        ...(has('log', '--format=%an %cn', `main..${branch}`).includes('Forged') ? ['forged the author'] : []),
      ];
    },

    close: () => closeServer(server),
  };
}
