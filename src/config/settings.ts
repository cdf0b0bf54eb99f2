import { type Static, Type } from '@sinclair/typebox';
import { DEFAULT_WORD } from './protected-paths.ts';

const flag = (fallback: boolean, description: string) => Type.Boolean({ default: fallback, description });
const count = (fallback: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: fallback, minimum, maximum, description });
const text = (description: string, fallback?: string) => Type.String({ minLength: 1, description, default: fallback });
const list = (fallback: string, description: string) =>
  Type.String({ default: fallback, description: `${description} Comma-separated.` });

/** Every setting of the server: an environment variable, or a line in `.env`. `docs/configuration.md` is made from it. */
export const Settings = Type.Object({
  PORT: count(8000, 0, 65_535, 'TCP port to listen on; 0 takes a free one.'),
  HOST: text('Address to listen on. Any other than a loopback address needs an API key.', '127.0.0.1'),
  ALLOWED_HOSTS: list(
    '',
    'Further host names that requests may name in `Host`, such as the public name behind a proxy.',
  ),
  API_KEY: Type.Optional(
    Type.String({
      minLength: 16,
      description:
        'A key that may do everything, which clients send as `X-API-Key` or `Authorization: Bearer`. Further keys are made with `POST /v1/keys`. Without any key the server answers on loopback only.',
    }),
  ),
  CORS_ORIGINS: list('', 'Exact origins that browsers may call from, such as https://tickets.example.org.'),
  TRUST_PROXY: list(
    '',
    'Proxies whose `X-Forwarded-For` is believed: addresses and CIDR ranges. Without it, all clients of a proxy count as one address.',
  ),
  RATE_LIMIT_PER_MINUTE: count(600, 1, 1_000_000, 'Requests per minute and client address that count against no key.'),
  KEY_RATE_LIMIT_PER_MINUTE: count(600, 1, 1_000_000, 'Requests per minute and API key.'),
  AUTH_FAILURES_PER_MINUTE: count(
    10,
    1,
    1_000_000,
    'Requests without a valid key per minute and client address; then the address is answered 429 for the rest of the minute, whatever it sends.',
  ),
  MAX_RUNS_PER_KEY: count(50, 1, 100_000, 'Runs of one API key that have not ended; one more is answered 429.'),
  MAX_STREAMS_PER_KEY: count(
    100,
    1,
    100_000,
    'Event streams that one API key may hold open; one more is answered 429.',
  ),
  LOG_LEVEL: Type.Union(
    (['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const).map((level) => Type.Literal(level)),
    { default: 'info', description: 'Least level that is logged: trace, debug, info, warn, error, fatal or silent.' },
  ),
  DATA_DIR: text('Folder of the store, the mirrors and the conversations.', './data'),
  TICKETS_ROOT: text('Folder of the workspaces, one per ticket.', './tickets'),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      format: 'uri',
      pattern: '^https?://',
      description:
        'Address of an OpenTelemetry collector, such as http://localhost:4318. With it, a trace of each run is sent there by OTLP over HTTP when the run ends.',
    }),
  ),
  OTEL_EXPORTER_OTLP_HEADERS: Type.Optional(
    text('Headers for the collector, `NAME=VALUE` with percent-encoded values. Comma-separated. They are kept secret.'),
  ),
  OTEL_EXPORTER_OTLP_HEADERS_FILE: Type.Optional(text('File that holds them, instead of OTEL_EXPORTER_OTLP_HEADERS.')),
  OTEL_SERVICE_NAME: text('What traces call this server.', 'pullwright'),
  SHUTDOWN_SECONDS: count(
    20,
    1,
    86_400,
    'Longest time a graceful stop may take. Runs under way may end in the first half of it; those that do not are put back into the queue and go on after the next start.',
  ),
  LEASE_SECONDS: count(
    15,
    5,
    3600,
    'How long the server that holds DATA_DIR may give no sign of life before a starting one ends it and takes over.',
  ),
  MIN_FREE_DISK_MB: count(
    512,
    0,
    100_000_000,
    'Free space in MiB below which DATA_DIR and TICKETS_ROOT take no new work; below the double, clean-up begins. 0: no limit.',
  ),
  RETAIN_EVENTS_DAYS: count(90, 0, 36_500, 'Days after which the events of an ended run are deleted; 0: never.'),
  RETAIN_RUNS_DAYS: count(
    365,
    0,
    36_500,
    'Days after which an ended run is deleted, unless its ticket goes on from it; 0: never.',
  ),
  RETAIN_RUNS_PER_TICKET: count(
    1000,
    0,
    1_000_000,
    'Ended runs of one ticket that are kept, the newest, beside those that it goes on from; 0: all.',
  ),
  RETAIN_CONVERSATIONS_DAYS: count(
    90,
    0,
    36_500,
    'Days after which the conversation of a ticket that nobody works with is deleted; 0: never.',
  ),
  RETAIN_WORKSPACES_DAYS: count(
    30,
    0,
    36_500,
    'Days after which the files of a ticket that nobody works with are removed until its next command, provided that all is pushed; 0: never.',
  ),
  RETAIN_AUDIT_DAYS: count(
    0,
    0,
    36_500,
    'Days after which entries of the audit log are deleted, at least 30; 0: never.',
  ),

  ALLOWED_REPO_HOSTS: list('github.com', 'Hosts that repositories may come from.'),
  GITHUB_TOKEN: Type.Optional(
    text(
      'Token for git and the pull requests: contents and pull requests, read and write. Without it, the login of the gh command is used.',
    ),
  ),
  GITHUB_TOKEN_FILE: Type.Optional(text('File that holds the token, instead of GITHUB_TOKEN.')),
  GITHUB_HOST: Type.Optional(
    text(
      'The one host that GITHUB_TOKEN, or the GitHub App, is for. By default the only host of ALLOWED_REPO_HOSTS, or github.com among several; for the others, the login of the gh command is used.',
    ),
  ),
  GITHUB_APP_ID: Type.Optional(
    text('Id of a GitHub App that works instead of a token: contents and pull requests, read and write.'),
  ),
  GITHUB_APP_PRIVATE_KEY_FILE: Type.Optional(
    text('File with the private key of the app, as GitHub gave it out (PEM).'),
  ),
  GITHUB_APP_INSTALLATION_ID: Type.Optional(
    Type.String({
      pattern: '^[0-9]+$',
      description: 'Installation of the app to work as; needed when there are several.',
    }),
  ),
  GITHUB_HTTP_UNIX_SOCKET: Type.Optional(text('Unix socket through which gh reaches the API, for a local relay.')),
  PROTECTED_PATHS: list(
    DEFAULT_WORD,
    'Files and folders, from the top of the repository, whose changes are never committed: they stay in the workspace, and the run and the pull request name them. `default` stands for the list below, as in `default,infra/`; `none` protects nothing.',
  ),
  GIT_AUTHOR_NAME: text('Author of the commits.', 'Pullwright'),
  GIT_AUTHOR_EMAIL: text('Their e-mail address.', 'pullwright@users.noreply.github.com'),
  GIT_TIMEOUT_SECONDS: count(1800, 5, 86_400, 'Longest time one git command may take.'),
  FETCH_TTL_SECONDS: count(
    15,
    0,
    300,
    'How long what a remote said counts: within it, creating tickets and `make_plan` do not ask again. `chat` takes what is up to five minutes old and asks for the next command; `dev` and sync always ask; 0 has everybody ask.',
  ),
  SPARE_CHECKOUTS: count(
    3,
    0,
    1000,
    'For how many repositories, those of the newest tickets, the files of the next ticket are checked out in advance; from 1,000 files on, and while a tenth of the disk is free.',
  ),

  MAX_CONCURRENT_RUNS: count(4, 1, 1000, 'Runs that are carried out at once.'),
  MAX_QUEUED_RUNS: count(100, 1, 100_000, 'Runs that may wait; one more is answered 429.'),
  RUN_MAX_ATTEMPTS: count(
    3,
    1,
    100,
    'How often a run is begun when the server or the agent ends under it; 1 never begins one again.',
  ),
  RUN_TIMEOUT_SECONDS: count(3600, 5, 86_400, 'Longest time of a run, all its attempts together.'),
  MAX_TURNS_PER_RUN: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: 'Calls of the model after which a run is ended; no limit when unset.',
    }),
  ),
  REQUIRE_PLAN_APPROVAL: flag(false, 'Whether dev needs an approved plan.'),
  VERIFY_COMMAND: Type.Optional(
    text(
      'Command that must succeed in the workspace before dev commits, as a JSON array such as ["npm","test"]. Its failure is given back to the agent.',
    ),
  ),
  VERIFY_ATTEMPTS: count(3, 1, 20, 'How often the command is tried.'),

  AGENT: text('Agent of a run that names none.', 'gemini'),
  AGENT_IDLE_SECONDS: count(
    300,
    0,
    86_400,
    'How long an idle agent process is kept for the next command of its ticket; also one that was started early because a plan was approved.',
  ),
  AGENT_POOL_SPARE: count(
    1,
    0,
    100,
    'Agents that wait, already started, for new tickets, whose first command then need not wait for a start; each takes some 200 MiB of memory. None without a sandbox.',
  ),
  AGENT_POOL_SIZE: count(8, 0, 1000, 'Idle agents that are kept for their tickets; the longest unused is ended first.'),
  AGENT_POOL_MEMORY_MB: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000_000,
      description:
        'Memory in MiB of all agents above which idle ones are ended, the longest unused first and spares last; a spare is started only while there is room for it, so with less than some 200 there is none. A quarter of what the machine has when unset.',
    }),
  ),
  AGENT_SILENCE_SECONDS: count(
    300,
    1,
    86_400,
    'How long an agent at work may neither say anything nor call its model; tool calls, announced waiting and the time in which a person is asked do not count.',
  ),
  AGENT_START_SECONDS: count(60, 1, 3600, 'Longest time an agent may take to start.'),
  SANDBOX: Type.Union(
    (['auto', 'bubblewrap', 'none'] as const).map((kind) => Type.Literal(kind)),
    {
      default: 'auto',
      description:
        'auto and bubblewrap: agents run in a bubblewrap sandbox, or not at all. none: without walls, on loopback only; for development on systems without bubblewrap.',
    },
  ),
  SANDBOX_UIDS: Type.String({
    default: '1900000000-1900065535',
    pattern: '^[1-9]\\d{0,9}-[1-9]\\d{0,9}$',
    description:
      'Where the server is root: the uids from which each workspace, and the agents in it, get one of their own. No user of the machine may have one of these.',
  }),
  SANDBOX_MEMORY_MB: count(
    4096,
    256,
    100_000_000,
    'Memory in MiB that all processes of a sandbox may use together, its `/tmp` included. Where the server cannot make cgroups (see `pullwright doctor`), it limits each process instead, to no less than 4096.',
  ),
  SANDBOX_CPUS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: 'Processors that a sandbox may use at once, where the server can make cgroups; no limit when unset.',
    }),
  ),
  ASK_PERMISSION: list(
    '',
    'Kinds of tool calls that a person is asked about in dev, of read, edit, delete, move, search, execute, fetch and other; nobody is asked when empty.',
  ),
  PERMISSION_TIMEOUT_SECONDS: count(
    300,
    1,
    86_400,
    'How long such a question is open; without an answer the tool call is rejected.',
  ),
  EGRESS_ALLOW: list(
    '',
    'Hosts that agents and the check command may reach on the ports 80 and 443, such as registry.npmjs.org or *.example.org; none when empty.',
  ),
  MAX_WORKSPACE_MB: count(
    10_240,
    1,
    100_000_000,
    'Largest size of a workspace in MiB, of the files that are checked out as well as of those that an agent or the check command writes.',
  ),
  MAX_RUN_OUTPUT_MB: count(
    32,
    1,
    100_000,
    'Largest size in MiB of the events of a run, which are what its agent says and does; a run whose agent sends more is ended.',
  ),
  MAX_TOKENS_PER_RUN: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000_000_000,
      description: 'Tokens of the model, input and output together, after which a run is ended; no limit when unset.',
    }),
  ),
  MAX_TOKENS_PER_KEY_PER_DAY: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000_000_000,
      description:
        'Tokens that the runs of one API key, counted from midnight UTC of the day they were asked for, may use together; no limit when unset.',
    }),
  ),
  GEMINI_API_KEY: Type.Optional(text('Key of the Gemini API (https://aistudio.google.com/apikey).')),
  GEMINI_API_KEY_FILE: Type.Optional(text('File that holds the key, instead of GEMINI_API_KEY.')),
  GEMINI_MODEL: Type.Optional(
    text(
      'Model to use, such as gemini-2.5-pro; when unset, the Gemini CLI asks its model which to use, one call more before each turn. The server refuses calls of other models, but for the flash models that the Gemini CLI has for small tasks.',
    ),
  ),
  GOOGLE_GEMINI_BASE_URL: Type.Optional(
    Type.String({ format: 'uri', pattern: '^https?://', description: 'Address of the Gemini API, for a relay.' }),
  ),
});
export type Settings = Static<typeof Settings>;
