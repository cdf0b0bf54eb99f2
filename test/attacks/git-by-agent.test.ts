import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { chownTo, SERVER_USERS, type ServerUser, startServerAs } from '../helpers/users.ts';
import { type Entry, TOKEN } from '../workspaces/world.ts';
import { type Arena, createArenas } from './git-arena.ts';

/**
 * Runs the worst families of `git-attacks.ts` end to end. A ticket on a hostile repository has a `dev` run whose agent
 * attacks with its shell in the sandbox; the server then publishes a pull request.
 */
const FSMONITOR = (program: string) => `[core]\n\tfsmonitor = ${program}\n\thooksPath = /work/evil\n`;
const FILTERS = (program: string) =>
  `[filter "x"]\n\tclean = ${program}\n\tsmudge = ${program}\n\tprocess = ${program}\n[diff "x"]\n\ttextconv = ${program}\n\tcommand = ${program}\n`;

type Attack = { name: string; upstream?: readonly Entry[]; shell(arena: Arena): string };

const ATTACKS: readonly Attack[] = [
  {
    name: 'hooks',
    shell: ({ program }) => `
      for at in . nested; do
        mkdir -p $at; git -C $at init -q; mkdir -p $at/.git/hooks
        for hook in pre-commit commit-msg post-commit pre-push reference-transaction post-index-change; do
          cp evil-program $at/.git/hooks/$hook
        done
      done
      echo x > nested/file; cp evil-program evil; git config core.hooksPath ${program}`,
  },
  {
    name: 'filters and attributes',
    upstream: [{ path: '.gitattributes', content: '* filter=lfs\n' }],
    shell: ({ program }) => `
      printf '* filter=x diff=x merge=x working-tree-encoding=UTF-32\\n' > .gitattributes
      git init -q nested; echo x > nested/file
      cat >> nested/.git/config <<'END'\n${FILTERS(program)}END
      cat >> .git/config <<'END'\n${FILTERS(program)}END`,
  },
  {
    name: 'configuration',
    shell: ({ program }) => `
      mv .git moved; git init -q; git config core.fsmonitor ${program}
      git init -q nested; echo x > nested/file
      cat >> nested/.git/config <<'END'\n${FSMONITOR(program)}END
      cat > .gitconfig <<'END'\n${FSMONITOR(program)}END`,
  },
  {
    name: 'alternates',
    shell: ({ outside, program }) => `
      git init -q nested; mkdir -p nested/.git/objects/info; echo ${outside} > nested/.git/objects/info/alternates
      printf '[core]\\n\\talternateRefsCommand = ${program}\\n' >> nested/.git/config; echo x > nested/file
      mkdir -p objects/info; echo ${outside} > objects/info/alternates`,
  },
  {
    name: 'submodules',
    upstream: [
      { path: '.gitmodules', content: '[submodule "sub"]\n\tpath = sub\n\turl = ../evil.git\n\tupdate = !false\n' },
    ],
    // GitHub would refuse the push of a command in `update`, so the agent replaces the file of the repository.
    shell: ({ program, attacker }) => `
      git init -q sub; git -C sub -c user.name=x -c user.email=x commit -q --allow-empty -m x
      cat >> sub/.git/config <<'END'\n${FSMONITOR(program)}${FILTERS(program)}END
      printf '[submodule "sub"]\\n\\tpath = sub\\n\\turl = ${attacker}/sub.git\\n' > .gitmodules
      echo x > sub/file`,
  },
  {
    name: 'refs',
    shell: () => `
      git update-ref refs/heads/main HEAD; git symbolic-ref HEAD refs/heads/main; git branch evil; git tag evil
      git -c user.name=Forged -c user.email=x commit -q --allow-empty -m x; git push origin HEAD:main
      git init -q nested; git -C nested -c user.name=Forged -c user.email=x commit -q --allow-empty -m x; echo x > nested/file`,
  },
  {
    name: 'links',
    shell: ({ outside }) => `
      ln -s ${outside}/secret.txt link.txt; rm -rf docs; ln -s ${outside} docs
      mkdir deep; ln -s ../../../../../../..${outside} deep/up`,
  },
];

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(`an agent attacks the git of the user ${user.name}`, { skip: user.skip, buffered: true }, async (t) => {
    const { world, arenas, server } = await startWorld(t, user);
    for (const [index, { name, upstream = [], shell }] of ATTACKS.entries()) {
      t.test(`dev publishes only legitimate changes when the agent plants ${name}`, async (t) => {
        const ticketId = `G-${index}`;
        const repository = `acme/hostile-${index}`;
        await arenas.addRepository(repository, upstream);
        await arenas.reset();
        const made = await call(server, 'POST', '/v1/tickets', {
          ticket_id: ticketId,
          repo_url: `https://github.com/${repository}`,
        });
        t.equal(made.status, 201);
        const arena = await arenas.enter(repository, `ticket_${ticketId}`, join(world.dir, 'tickets', ticketId));
        chownTo(user, join(world.dir, 'arena'));
        t.strictSame(
          await arenas.damage(arena, arenas.otherRefs(arena)),
          ['lost the work'],
          'the new ticket does no harm',
        );

        const program = `printf '#!/bin/sh\\nexec cat\\n' > evil-program; chmod +x evil-program`;
        const legitimate = "echo work > work.txt; sed -i '1s/.*/mine/' shared.txt";
        const command = `{ ${program}\n${shell(arena)}\n} > /dev/null 2>&1; ${legitimate}`;
        world.gemini.on(`Plan ${ticketId}`, [{ text: '# Goal\n\nWork.' }]);
        world.gemini.on(`Work ${ticketId}`, [
          { calls: [{ name: 'run_shell_command', args: { command } }] },
          { text: 'Done.' },
        ]);
        await run(server, ticketId, { action: 'make_plan', message: `Plan ${ticketId}` });
        const before = arenas.otherRefs(arena);
        const dev = await run(server, ticketId, { action: 'dev', message: `Work ${ticketId}` });
        t.match(
          dev.run,
          { state: 'succeeded', result: { pull_request: { created: true } } },
          JSON.stringify(dev.run.error),
        );
        t.strictSame(await arenas.damage(arena, before), []);
        t.equal((await call(server, 'GET', `/v1/tickets/${ticketId}/diff`)).status, 200);

        await arenas.moveUpstream(arena);
        const moved = arenas.otherRefs(arena);
        await call(server, 'POST', '/v1/tickets', {
          ticket_id: ticketId,
          repo_url: `https://github.com/${repository}`,
        });
        t.strictSame(await arenas.damage(arena, moved), [], 'the merge of the base branch does no harm');
      });
    }
  });
}

async function startWorld(t: Test, user: ServerUser) {
  const world = await makeWorld(t);
  world.github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
  await mkdir(join(world.dir, 'arena'));
  const arenas = await createArenas(join(world.dir, 'arena'), world.github, join(world.dir, 'gh'));
  t.teardown(() => arenas.close());
  chownTo(user, join(world.dir, 'arena'));
  // No path is protected, not even .gitmodules, so that the attacks reach git.
  const settings = { SANDBOX: 'bubblewrap', GITHUB_TOKEN: TOKEN, HOME: arenas.home, PROTECTED_PATHS: 'none' };
  return { world, arenas, server: await startServerAs(t, world, user, settings) };
}
