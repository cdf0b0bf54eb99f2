import { Type } from '@sinclair/typebox';
import { checkItem, count, decoded, httpUrl, limit, list, oneOf, SettingError, text } from './kinds.ts';

/** Kinds of ACP's tool calls that can require permission. The other kinds change nothing but the agent itself. */
const ASKABLE_KINDS = ['read', 'edit', 'delete', 'move', 'search', 'execute', 'fetch', 'other'] as const;
export type AskableKind = (typeof ASKABLE_KINDS)[number];

/** A name of at least two labels, the last of which is not a number: neither an address nor a name of the local network. */
const EGRESS_HOST =
  /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

/** Both bounds are included. */
export type UidRange = { first: number; last: number };

/** 2^32 - 1 means "no user" to the kernel. */
const MAX_UID = 2 ** 32 - 2;
/** Keeps collisions between workspaces improbable. */
const MIN_UIDS = 1000;

export const agentSettings = {
  AGENT: text('Agent of a run whose request names no agent.', 'gemini'),
  AGENT_IDLE_SECONDS: count(
    300,
    0,
    86_400,
    'Time that an idle agent stays with its ticket for the next command. The same applies to a prestarted writer.',
  ),
  AGENT_POOL_SPARE: count(
    1,
    0,
    100,
    'Number of spare agents. The first command of a new ticket claims one and does not wait for a start. Each uses about 200 MiB of memory. Without a sandbox, the server starts no spare agents.',
  ),
  AGENT_POOL_SIZE: count(
    8,
    0,
    1000,
    'Number of idle agents that stay with their tickets. Above it, the server stops the least recently used agent.',
  ),
  AGENT_POOL_MEMORY_MB: limit(
    100_000_000,
    'Memory of all agents in MiB above which the server stops idle agents: the least recently used first, spare agents last. A spare agent starts only if its memory fits, so below about 200 none starts. A quarter of the memory of the machine by default.',
  ),
  AGENT_START_SECONDS: count(60, 1, 3600, 'Time limit for the start of an agent.'),
  AGENT_SILENCE_SECONDS: count(
    300,
    1,
    86_400,
    'Maximum time without output and model calls of a working agent. Tool calls, announced waits and open permission requests do not count.',
  ),
  SANDBOX: oneOf(
    ['auto', 'bubblewrap', 'none'],
    'auto',
    'auto and bubblewrap: agents run in a bubblewrap sandbox, or not at all. none: no isolation, on a loopback address only, for development on systems without bubblewrap.',
  ),
  SANDBOX_UIDS: decoded(
    Type.String({
      default: '1900000000-1900065535',
      pattern: '^[1-9]\\d{0,9}-[1-9]\\d{0,9}$',
      description:
        'For a server that runs as root: the range of uids for workspaces. Each workspace and its agents share one. No user of the machine may have a uid of this range.',
    }),
    parseUids,
  ),
  SANDBOX_MEMORY_MB: count(
    4096,
    256,
    100_000_000,
    'Memory in MiB that all processes of a sandbox can use together, including its `/tmp`. A server that cannot create cgroups (see `pullwright doctor`) limits each process instead, to at least 4096.',
  ),
  SANDBOX_CPUS: limit(
    10_000,
    'Processors that a sandbox can use at the same time, if the server can create cgroups; no limit by default.',
  ),
  ASK_PERMISSION: list(
    '',
    'Kinds of tool calls that need permission from a person in `dev`: read, edit, delete, move, search, execute, fetch or other. None by default.',
    (item) => {
      const kind = ASKABLE_KINDS.find((known) => known === item);
      if (kind !== undefined) return kind;
      throw new SettingError(`names ${JSON.stringify(item)}. Use kinds of ${ASKABLE_KINDS.join(', ')}.`);
    },
  ),
  PERMISSION_TIMEOUT_SECONDS: count(
    300,
    1,
    86_400,
    'Time that a permission request stays open. Without an answer, the server rejects the tool call.',
  ),
  EGRESS_ALLOW: list(
    '',
    'Hosts that agents and the check command can reach on ports 80 and 443, such as registry.npmjs.org or *.example.org. None by default.',
    (item) => {
      const host = item.toLowerCase();
      checkItem(EGRESS_HOST.test(host), host, 'not a host name', 'registry.npmjs.org or *.example.org');
      return host;
    },
  ),
  MAX_WORKSPACE_MB: count(
    10_240,
    1,
    100_000_000,
    'Maximum size of a workspace in MiB: of the files that are checked out, and of the files that an agent or the check command writes.',
  ),
  MAX_RUN_OUTPUT_MB: count(
    32,
    1,
    100_000,
    'Maximum size of the events of a run in MiB, which contain the output of its agent. The server stops a run that exceeds it.',
  ),
  MAX_TOKENS_PER_RUN: limit(
    1_000_000_000_000,
    'Input and output tokens after which the server stops a run; no limit by default.',
  ),
  MAX_TOKENS_PER_KEY_PER_DAY: limit(
    1_000_000_000_000,
    'Input and output tokens of all runs that an API key starts on one day (UTC); no limit by default.',
  ),
  GEMINI_API_KEY: Type.Optional(text('Key of the Gemini API (https://aistudio.google.com/apikey).')),
  GEMINI_API_KEY_FILE: Type.Optional(text('File that contains the key, instead of GEMINI_API_KEY.')),
  GEMINI_MODEL: Type.Optional(
    text(
      'Model to use, such as gemini-2.5-pro. By default, the Gemini CLI lets a model choose, with an extra call before each turn. The server refuses calls to other models, except the flash models that the Gemini CLI uses for small tasks.',
    ),
  ),
  GOOGLE_GEMINI_BASE_URL: Type.Optional(httpUrl('Address of the Gemini API, for a relay.')),
};

function parseUids(value: string): UidRange {
  const [first = 0, last = 0] = value.split('-').map(Number);
  if (last <= MAX_UID && last - first >= MIN_UIDS - 1) return { first, last };
  throw new SettingError(
    `is ${value}. Write FIRST-LAST, a range of at least ${MIN_UIDS} uids up to ${MAX_UID}, such as 1900000000-1900065535.`,
  );
}
