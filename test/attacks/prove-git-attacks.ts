import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { startGitHub } from '../../standins/github.ts';
import { TOKEN } from '../workspaces/world.ts';
import { createArenas, plainEnvironment } from './git-arena.ts';
import { GIT_ATTACKS } from './git-attacks.ts';

/**
 * Runs the attacks of the table on a git without the server's defences: it runs the commands of a naive server in a
 * plain clone that the agent controls. Prints the effects of each, and fails when an attack has none: its test would prove
 * nothing. Not part of the suite, because it runs the hostile programs, which are harmless.
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
    await arenas.reset();
    await git('clone', '--quiet', `${github.url}/${repository}.git`, workspace);
    await git('checkout', '--quiet', '-b', arena.branch);
    const atClone = await arenas.damage(arena, arenas.otherRefs(arena));
    await arenas.writeChanges(arena);
    await plant?.(arena);
    await arenas.reset();

    const before = arenas.otherRefs(arena);
    problems.length = 0;
    await git('status');
    await git('diff');
    await git('add', '--all');
    await git('commit', '--quiet', '--message', 'Work');
    await git('push', '--quiet');
    const achieved = new Set(await arenas.damage(arena, before));
    await arenas.moveUpstream(arena);
    const moved = arenas.otherRefs(arena);
    await git('pull', '--quiet', '--no-edit', 'origin', 'main');
    await git('push', '--quiet');
    for (const damage of await arenas.damage(arena, moved)) achieved.add(damage);
    for (const damage of atClone) if (damage !== 'lost the work') achieved.add(`${damage} while cloning`);
    if (achieved.size === 0) failures += 1;
    const first = problems[0] === undefined ? '' : ` (${problems[0]})`;
    console.log(
      `${achieved.size > 0 ? 'SUCCEEDED' : 'no harm  '}  ${name}: ${[...achieved].join(', ') || 'no effect'}${first}`,
    );
  }
} finally {
  await arenas.close();
  await github.close();
  await rm(root, { recursive: true, force: true });
}
console.log(`${GIT_ATTACKS.length - failures} of ${GIT_ATTACKS.length} attacks succeeded`);
if (failures > 0) process.exitCode = 1;
