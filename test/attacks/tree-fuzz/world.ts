import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { AgentDefinition } from '../../../src/agents/agent-definition.ts';
import { prepareGeminiLoad } from '../../../src/agents/gemini/session-file.ts';
import { buildApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';
import { startGitHub } from '../../../standins/github.ts';
import { scripted } from '../../agents/scripted.ts';
import { TOKEN } from '../../helpers/server.ts';
import { commitEntries } from '../../workspaces/world.ts';
import type { Outside } from './hostile-trees.ts';
import { ENTRIES } from './repository.ts';

export const REPO = 'https://github.com/acme/fuzz';
/** A ticket without a hostile tree, which must not change. */
export const HEALTHY = 'HEALTHY';
/** A message with this word makes the agent hang until it is canceled. */
export const WAIT = 'WAIT-FOREVER';
const SESSION_ID = '01234567-89ab-cdef-0123-456789abcdef';

export type FuzzWorld = Awaited<ReturnType<typeof makeFuzzWorld>>;
export type App = Awaited<ReturnType<typeof buildApp>>;

/** Creates a world of stand-ins and files that no tree may reach; its servers run in this process. */
export async function makeFuzzWorld() {
  const dir = await mkdtemp(join(tmpdir(), 'pw-trees-'));
  const github = await startGitHub({ root: join(dir, 'github') });
  github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
  const canary = `CANARY-${randomUUID()}`;
  const { directory } = await github.addRepository('acme/fuzz');
  commitEntries(directory, ENTRIES);
  const path = (...names: string[]) => join(dir, ...names);
  for (const name of ['outside', 'home']) {
    await mkdir(path(name));
    await writeFile(path(name, 'canary.txt'), `${canary}\n`);
    await writeFile(path(name, '.netrc'), `password ${canary}\n`);
    await chmod(path(name), 0o755);
  }
  const log: string[] = [];
  const env = { ...github.environment(), GITHUB_TOKEN: TOKEN, PATH: process.env.PATH, HOME: path('home') };
  const apps = new Set<App>();

  const outside: Outside = {
    folder: path('outside'),
    file: path('outside', 'canary.txt'),
    otherWorkspace: path('tickets', HEALTHY),
    otherGitDir: path('data', 'gitdirs', `${HEALTHY}.git`),
  };

  return {
    dir,
    path,
    canary,
    outside,
    directory,
    log,

    /** Starts a server. @param folder folder for `data` and `tickets` */
    async start(folder: string): Promise<{ app: App; url: string }> {
      const settings = {
        DATA_DIR: join(folder, 'data'),
        TICKETS_ROOT: join(folder, 'tickets'),
        AGENT: 'scripted',
        AGENT_POOL_SPARE: '0',
        FETCH_TTL_SECONDS: '0',
        AGENT_POOL_SIZE: '0',
        RATE_LIMIT_PER_MINUTE: '1000000',
        KEY_RATE_LIMIT_PER_MINUTE: '1000000',
        MAX_CONCURRENT_RUNS: '8',
      };
      const config = loadConfig({ ...env, ...settings }, join(folder, 'no.env'));
      const redactor = createRedactor([config.GITHUB_TOKEN, config.GEMINI_API_KEY]);
      const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(line) });
      const app = await buildApp({ config, parentEnv: env, logger, redactor, agents: [fuzzAgent()] });
      apps.add(app);
      const url = await app.listen({ host: '127.0.0.1', port: 0 });
      return { app, url };
    },

    async close(): Promise<void> {
      for (const app of apps) await app.close();
      await github.close();
      // A tree may have folders without write permission.
      execFileSync('chmod', ['-R', 'u+rwx', dir]);
      await rm(dir, { recursive: true, maxRetries: 3 });
    },
  };
}

/** Creates an agent that changes no file, with a conversation folder as that of Gemini CLI. */
function fuzzAgent(): AgentDefinition {
  const agent = scripted();
  return {
    ...agent,
    async prepareLaunch(context) {
      const launch = await agent.prepareLaunch(context);
      const chats = join(context.conversation, 'chats');
      await mkdir(chats, { recursive: true, mode: 0o700 });
      return { ...launch, home: { ...launch.home, writable: { chats } } };
    },
    prepareLoad: (confine, conversation) => prepareGeminiLoad(confine, join(conversation, 'chats'), SESSION_ID),
    promptText: (text) => JSON.stringify(text.includes(WAIT) ? [{ hang: 0 }] : [{ say: '# Goal\n\nWork.\n' }]),
  };
}

/** Describes each entry of a folder by mode, owner, time and content. */
export async function describe(folder: string): Promise<string[]> {
  const stats = await lstat(folder);
  const facts = [folder, stats.mode.toString(8), stats.uid, stats.mtimeMs];
  if (stats.isDirectory()) {
    const below = await Promise.all((await readdir(folder)).sort().map((name) => describe(join(folder, name))));
    return [facts.join(' '), ...below.flat()];
  }
  if (stats.isSymbolicLink()) facts.push(await readlink(folder));
  if (stats.isFile())
    facts.push(
      createHash('sha256')
        .update(await readFile(folder))
        .digest('hex'),
    );
  return [facts.join(' ')];
}
