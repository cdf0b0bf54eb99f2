import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { startGitHub } from '../../standins/github.ts';
import { TOKEN } from '../workspaces/world.ts';
import { createArenas, plainEnvironment } from './git-arena.ts';
import { GIT_ATTACKS } from './git-attacks.ts';

/**
 * The attacks of the table against a git without the server's defences: in a plain clone, which the agent may write
 * whole, the commands that a naive server would run. Prints what each achieves; fails when one achieves nothing, since
 * then the test of it proves nothing. Not part of the suite: it runs the hostile programs, harmless as they are.
 */
const root = await mkdtemp(join(tmpdir(), 'prove-'));
const github = await startGitHub({ root: join(root, 'github') });
github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
const arenas = await createArenas(root, github);
const environment = plainEnvironment(arenas.home);
let failures = 0;
try {
  for (const [index, { name, upstream = [], plant }] of GIT_ATTACKS.entries()) {
    const repository = `acme/attack-${index}`;
    const workspace = join(root, `work-${index}`);
    const arena = await arenas.enter(repository, 'ticket_A', workspace);
    const problems: string[] = [];
    const git = async (...args: string[]) => {
      const cwd = args[0] === 'clone' ? root : workspace;
      const { failed, timedOut, stderr } = await execa('git', args, {
        cwd,
        env: environment,
        extendEnv: false,
        stdin: 'ignore',
        reject: false,
        timeout: 10_000,
        killDescendants: true,
      });
      if (failed) problems.push(`git ${args[0]} ${timedOut ? 'hung' : 'failed'}: ${stderr.trim().split('\n').at(-1)}`);
    };
    await arenas.addRepository(repository, upstream);
    await arenas.forget();
    await git('clone', '--quiet', `${github.url}/${repository}.git`, workspace);
    await git('checkout', '--quiet', '-b', arena.branch);
    const atClone = await arenas.damage(arena, arenas.refsOfOthers(arena));
    await arenas.work(arena);
    await plant?.(arena);
    await arenas.forget();

    const before = arenas.refsOfOthers(arena);
    problems.length = 0;
    await git('status');
    await git('diff');
    await git('add', '--all');
    await git('commit', '--quiet', '--message', 'Work');
    await git('push', '--quiet');
    const achieved = new Set(await arenas.damage(arena, before));
    await arenas.moveUpstream(arena);
    const moved = arenas.refsOfOthers(arena);
    await git('pull', '--quiet', '--no-edit', 'origin', 'main');
    await git('push', '--quiet');
    for (const damage of await arenas.damage(arena, moved)) achieved.add(damage);
    for (const damage of atClone) if (damage !== 'kept the work out') achieved.add(`${damage} while cloning`);
    if (achieved.size === 0) failures += 1;
    const first = problems[0] === undefined ? '' : ` (${problems[0]})`;
    console.log(
      `${achieved.size > 0 ? 'FIRED  ' : 'nothing'}  ${name}: ${[...achieved].join(', ') || 'no effect'}${first}`,
    );
  }
} finally {
  await arenas.close();
  await github.close();
  await rm(root, { recursive: true, force: true });
}
console.log(`${GIT_ATTACKS.length - failures} of ${GIT_ATTACKS.length} attacks fired`);
if (failures > 0) process.exitCode = 1;
