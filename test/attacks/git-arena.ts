import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { GitHub } from '../../standins/github.ts';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { commitEntries, type Entry, TOKEN } from '../workspaces/world.ts';

/** Content of a file outside the workspace. */
const OUTSIDE = 'content of a file outside the workspace';
const SHARED = Array.from({ length: 9 }, (_, index) => `line ${index}\n`);

/** The surroundings of one attack: a repository, a workspace of it, and targets that must not change. */
export type Arena = {
  /** `OWNER/NAME`. */
  repository: string;
  branch: string;
  workspace: string;
  /** The folder `.git` in the workspace, as in a clone. */
  gitDir: string;
  /** A program that writes a mark, copies its input to its output, and succeeds. */
  program: string;
  /** A folder outside the workspace with a file `secret.txt`. */
  outside: string;
  /** URL of the attacker's server, which git has no reason to contact. */
  attacker: string;
  /** URL of the stand-in for GitHub, as the attacked git has it. */
  upstream: string;
  /** Appends to the configuration in `.git`. */
  config(text: string): Promise<void>;
  /** Writes a file of the workspace. */
  write(path: string, content: string): Promise<void>;
  /** Runs git in the workspace without defences, as an agent does. */
  git(...args: string[]): string;
};

/** Returns the environment of git in a naive server: it reads the home folder and gives the token to every host. */
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
 * Creates the surroundings of attacks, which run one after another.
 * @param root an empty folder
 * @param repositories folder of the bare repositories
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
  const attacker = await listenOnPort(server);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'askpass'), '#!/bin/sh\necho "$GIT_TOKEN"\n', { mode: 0o755 });
  await writeFile(program, `#!/bin/sh\nenv >>${mark}\nexec cat\n`);
  await chmod(program, 0o755);
  // A filter for all repositories, as git-lfs installs it.
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

    /** Adds a repository with a few files and the files of the attack. */
    async addRepository(repository: string, entries: readonly Entry[]): Promise<void> {
      const { directory } = await github.addRepository(repository, { private: true });
      commitEntries(directory, [
        { path: 'shared.txt', content: SHARED.join('') },
        { path: 'docs/c.txt', content: 'c\n' },
        ...entries,
      ]);
    },

    /** Creates an arena around a workspace, and removes the traces of earlier attacks. */
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
        attacker,
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

    /** Writes the legitimate changes, which must be published. */
    async writeChanges(arena: Arena): Promise<void> {
      await arena.write('work.txt', 'work\n');
      await arena.write('shared.txt', ['mine\n', ...SHARED.slice(1)].join(''));
    },

    /** Commits to the base branch, which the ticket then merges. */
    async moveUpstream({ repository }: Arena): Promise<void> {
      await github.commit(repository, {
        files: { 'shared.txt': [...SHARED.slice(0, -1), 'theirs\n'].join(''), 'theirs.txt': 'theirs\n' },
      });
    },

    reset(): Promise<void> {
      hits.length = 0;
      return rm(mark, { force: true });
    },

    otherRefs,

    /**
     * Lists the effects of the attack.
     * @param before other refs of the repository before the attack
     */
    async damage(arena: Arena, before: string): Promise<string[]> {
      const { repository, branch } = arena;
      const query = (...args: string[]) => {
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
        ...(hits.length > 0 ? [withToken > 0 ? 'sent the token elsewhere' : 'contacted another server'] : []),
        ...(secret === OUTSIDE ? [] : ['changed a file outside']),
        ...(query('grep', '-l', OUTSIDE, branch) === '' ? [] : ['published a file outside']),
        ...(otherRefs(arena) === before ? [] : ['pushed other refs']),
        ...(query('show', `${branch}:work.txt`) === 'work' && /^mine$/m.test(query('show', `${branch}:shared.txt`))
          ? []
          : ['lost the work']),
        ...(query('log', '--format=%an %cn', `main..${branch}`).includes('Forged') ? ['forged the author'] : []),
      ];
    },

    close: () => closeServer(server),
  };
}
