import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AskableKind } from '../../config/settings/agents.ts';
import { AppError } from '../../errors/app-error.ts';
import { geminiModel } from '../../model-proxy/gemini/model-api.ts';
import { geminiModelConfigs } from '../../model-proxy/gemini/models.ts';
import type { Mount } from '../../sandbox/types.ts';
import type { AgentDefinition, AgentMode, AgentSettings, LaunchContext } from '../agent-definition.ts';
import { classifyGeminiError } from './cli-errors.ts';
import { prepareGeminiLoad } from './session-file.ts';

const PACKAGE = '@google/gemini-cli';

type Policy = { file: string; sha256: string };

/**
 * The policies with their hashes. Gemini CLI ignores a missing or broken policy file silently, and then allows far more. So the
 * server starts no agent unless each file has its hash.
 */
const POLICIES: Record<AgentMode, Policy> = {
  read: policy('read', '2e2d62146d28feb8eb7714cf857db62a3a68da350983c1c66b01b81a9a97c3ae'),
  write: policy('write', 'e9670f480825311c63defafc2ed92d900f1c9f7237ced16886f3a96efb8ddaac'),
};

/** Policies that make a kind of tool ask, above that of `write`. Gemini CLI's tools of other kinds affect only itself. */
const ASK_POLICIES: Partial<Record<AskableKind, Policy>> = {
  read: policy('ask-read', '2f502f52670584944fecf972a70e06ad7991efe1c90a95f65ae592716657d7a7'),
  search: policy('ask-search', '494063e69a87ca18606cc7ab2f9cf806a6b0d45331b1f3c90fcd59436177d4b2'),
  edit: policy('ask-edit', '56a5ebbb060a61fbc316e692afab88651f1b0a605c13614dcc19089dd8b2b4d7'),
  execute: policy('ask-execute', '2c137f0c41323d01046ca117a28377c3eb793aa6c470771d7727ab1626c8ad9e'),
};

/** A policy here makes Gemini CLI ignore `--admin-policy`. */
const SYSTEM_POLICIES = '/etc/gemini-cli/policies';

/** Name of the project in Gemini CLI's files, independent of the path of the workspace. */
const PROJECT = 'ticket';

/** Lines of stderr that are irrelevant to a run. Indented ones belong to an object or a stack trace. */
const NOISE =
  /^(?:[\s}\]]|Ripgrep is not available|Skipping project agents|Project hooks disabled|\[STARTUP\]|Error handling request|Loaded cached credentials|\(node:\d+\)|\(Use `node)/;

/** Gemini CLI with a key of the Gemini API. It never trusts the workspace, and so loads no settings from the repository. */
export const gemini: AgentDefinition = {
  name: 'gemini',
  title: 'Gemini CLI',
  version: () => installation().version,
  model: geminiModel,

  async check(config) {
    try {
      installation();
      for (const mode of ['read', 'write'] as const) await checkPolicies(policiesOf(mode, config));
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
    if (config.GEMINI_API_KEY !== undefined) return undefined;
    return new AppError('agent_auth', 'GEMINI_API_KEY is not set.', {
      remedy: 'Set GEMINI_API_KEY to a key from https://aistudio.google.com/apikey.',
    });
  },

  async prepareLaunch(context) {
    const { config, mode, sandbox, model } = context;
    const policies = policiesOf(mode, config);
    await checkPolicies(policies);
    if (sandbox.kind === 'none') await checkSystemPolicies();
    const home = await writeHome(context);
    const chats = join(context.conversation, 'chats');
    await mkdir(chats, { recursive: true, mode: 0o700 });

    const agent: Mount = { host: installation().folder, inside: '/opt/agent' };
    const places = policies.map(({ file }): Mount => ({ host: file, inside: `/opt/policies/${basename(file)}` }));
    const admin = places.flatMap((place) => ['--admin-policy', sandbox.path(place)]);
    const { node } = sandbox.layout({ workspace: context.workspace, home });
    return {
      argv: [node, join(sandbox.path(agent), 'bundle/gemini.js'), '--acp', ...admin],
      env: {
        ...(model && { GEMINI_API_KEY: model.token, GOOGLE_GEMINI_BASE_URL: model.url }),
        GEMINI_CLI_TRUST_WORKSPACE: 'false',
        GEMINI_CLI_NO_RELAUNCH: 'true',
        NO_COLOR: '1',
      },
      mounts: [agent, ...places],
      home: {
        folder: home,
        readOnly: ['.gemini/settings.json', '.gemini/projects.json'],
        writable: { [`.gemini/tmp/${PROJECT}/chats`]: chats },
      },
    };
  },

  prepareLoad: (confine, conversation, sessionId) => prepareGeminiLoad(confine, join(conversation, 'chats'), sessionId),
  replayEndsWith: 'available_commands_update',
  // Gemini CLI would execute such a prompt as a command.
  promptText: (text) => (/^\s*[/$]/.test(text) ? `Request:\n${text}` : text),
  isNoise: (line) => NOISE.test(line),
  classifyError: classifyGeminiError,
};

function installation(): { folder: string; version: string } {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve(`${PACKAGE}/package.json`);
    // Read each time, since the package can be updated while the server runs.
    return { folder: dirname(manifest), version: String(JSON.parse(readFileSync(manifest, 'utf8')).version) };
  } catch (cause) {
    throw new AppError('agent_unavailable', `The package ${PACKAGE} is not installed.`, {
      cause,
      remedy: 'Run npm install in the folder of the server.',
    });
  }
}

function policy(name: string, sha256: string): Policy {
  return { file: fileURLToPath(new URL(`policies/${name}.toml`, import.meta.url)), sha256 };
}

function policiesOf(mode: AgentMode, { ASK_PERMISSION }: AgentSettings): Policy[] {
  const asking = ASK_PERMISSION.flatMap((kind) => ASK_POLICIES[kind] ?? []);
  return mode === 'read' ? [POLICIES.read] : [POLICIES.write, ...asking];
}

async function checkPolicies(policies: readonly Policy[]): Promise<void> {
  for (const { file, sha256 } of policies) {
    const content = await readFile(file).catch(() => undefined);
    const found = content && createHash('sha256').update(content).digest('hex');
    if (found === sha256) continue;
    throw new AppError(
      'agent_unavailable',
      `The policy file ${basename(file)} is ${found ? 'not the original' : 'missing'}.`,
      {
        remedy: 'Install the server again.',
      },
    );
  }
}

async function checkSystemPolicies(): Promise<void> {
  const files = await readdir(SYSTEM_POLICIES).catch(() => []);
  if (!files.some((file) => file.endsWith('.toml'))) return;
  throw new AppError('agent_unavailable', `The policies in ${SYSTEM_POLICIES} would replace those of the server.`, {
    remedy: `Set SANDBOX=bubblewrap, or move the files out of ${SYSTEM_POLICIES}.`,
  });
}

/**
 * Creates a new home for every process and keeps only the chats. The next agent would obey settings, extensions or hooks that an
 * agent has left.
 */
async function writeHome({ config, sandbox, workspace, conversation }: LaunchContext): Promise<string> {
  const home = join(conversation, 'home');
  await rm(home, { recursive: true, force: true });
  await mkdir(join(home, '.gemini'), { recursive: true, mode: 0o700 });
  const root = sandbox.layout({ workspace, home }).workspace;
  await writeFile(join(home, '.gemini/projects.json'), JSON.stringify({ projects: { [root]: PROJECT } }));
  await writeFile(join(home, '.gemini/settings.json'), JSON.stringify(settings(config)));
  return home;
}

/** Returns the settings of Gemini CLI: https://geminicli.com/docs/reference/configuration/ */
function settings({ GEMINI_MODEL }: AgentSettings) {
  return {
    security: {
      auth: { selectedType: 'gemini-api-key', enforcedType: 'gemini-api-key' },
      environmentVariableRedaction: { enabled: true },
      disableYoloMode: true,
      disableAlwaysAllow: true,
    },
    // A `.env` of the repository could set another key.
    advanced: { ignoreLocalEnv: true },
    general: {
      enableAutoUpdate: false,
      enableAutoUpdateNotification: false,
      // Conversations are kept as long as their ticket.
      sessionRetention: { enabled: false },
      // One approval leaves plan mode. The policies separate reading from writing instead.
      plan: { enabled: false },
      topicUpdateNarration: false,
      // For responses that Gemini CLI itself rejects, such as empty ones. The model proxy retries all other failures, and finally
      // returns a status that Gemini CLI does not retry.
      maxAttempts: 3,
    },
    privacy: { usageStatisticsEnabled: false },
    telemetry: { enabled: false },
    tools: { shell: { enableInteractiveShell: false } },
    skills: { enabled: false },
    hooksConfig: { enabled: false },
    experimental: { enableAgents: false },
    ...(GEMINI_MODEL && { model: { name: GEMINI_MODEL }, modelConfigs: geminiModelConfigs(GEMINI_MODEL) }),
  };
}
