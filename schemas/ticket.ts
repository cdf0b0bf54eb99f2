import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, TicketId, Time } from './common.ts';
import { RunSummary } from './run.ts';

export const RepoUrl = Type.String({
  minLength: 1,
  maxLength: 512,
  description:
    'https://HOST/OWNER/REPO or git@HOST:OWNER/REPO, with a host of ALLOWED_REPO_HOSTS and without credentials, port, query or fragment.',
  examples: ['https://github.com/acme/widgets'],
});

export const CreateTicket = Type.Object(
  {
    ticket_id: TicketId,
    repo_url: RepoUrl,
    title: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    description: Type.Optional(Type.String({ maxLength: 65_536 })),
    base_branch: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  },
  {
    $id: 'CreateTicket',
    additionalProperties: false,
    examples: [
      {
        ticket_id: 'REL-123',
        repo_url: 'https://github.com/acme/widgets',
        title: 'Round half up',
        description: 'Half a cent is rounded down. It should be rounded up.',
      },
    ],
  },
);
export type CreateTicket = Static<typeof CreateTicket>;

export const PullRequest = Type.Object({
  number: Type.Integer(),
  url: Type.String(),
});
export type PullRequest = Static<typeof PullRequest>;

export type TicketState = 'creating' | 'ready' | 'deleting';
export const TicketState = Type.Unsafe<TicketState>({
  type: 'string',
  enum: ['creating', 'ready', 'deleting'],
  description: '`creating` until the workspace exists, `ready` for commands, `deleting` until the ticket is gone.',
});

export type WorkspaceState = 'present' | 'parked' | 'missing';
export const Workspace = Type.Object({
  place: Type.Unsafe<WorkspaceState>({
    type: 'string',
    enum: ['present', 'parked', 'missing'],
    description: '`parked`: the files were removed to save space, and the next command restores them.',
  }),
  kept: Type.Optional(Type.String({ description: 'Why the last clean-up did not park the idle workspace.' })),
});

/** Example of a new ticket. The example of `Ticket` has a pull request. */
export const newTicket = {
  ticket_id: 'REL-123',
  repo_url: 'https://github.com/acme/widgets',
  title: 'Round half up',
  description: 'Half a cent is rounded down. It should be rounded up.',
  branch: 'ticket_REL-123',
  base_branch: 'main',
  state: 'ready',
  workspace: { place: 'present' },
  created_at: '2026-11-22T10:00:00.000Z',
  updated_at: '2026-11-22T10:00:00.000Z',
};
const doneTicket = {
  ...newTicket,
  plan_version: 1,
  pull_request: { number: 17, url: 'https://github.com/acme/widgets/pull/17' },
  last_run: {
    run_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c',
    action: 'dev',
    state: 'succeeded',
    created_at: '2026-11-22T10:05:00.000Z',
  },
  updated_at: '2026-11-22T10:06:30.000Z',
};

export const Ticket = Type.Object(
  {
    ticket_id: TicketId,
    repo_url: Type.String(),
    title: Type.Optional(Type.String()),
    description: Type.Optional(Type.String()),
    branch: Type.String(),
    base_branch: Type.String(),
    state: TicketState,
    progress: Type.Optional(
      Type.Object(
        { stage: Type.String(), percent: Type.Integer({ minimum: 0, maximum: 100 }) },
        { description: 'During creation: progress of git, such as `receiving objects`.' },
      ),
    ),
    workspace: Type.Optional(Workspace),
    plan_version: Type.Optional(Type.Integer()),
    pull_request: Type.Optional(PullRequest),
    last_run: Type.Optional(RunSummary),
    created_at: Time,
    updated_at: Time,
  },
  { $id: 'Ticket', examples: [doneTicket] },
);
export type Ticket = Static<typeof Ticket>;

export const TicketList = Type.Object(
  { items: Type.Array(Ticket), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'TicketList', examples: [{ items: [doneTicket], next_cursor: null }] },
);

export const TicketQuery = Type.Object(
  { ...PageQuery, state: Type.Optional(TicketState) },
  { additionalProperties: false },
);

export const DeleteTicketQuery = Type.Object(
  { force: Type.Boolean({ default: false, description: 'Delete the ticket even if it has unpushed work.' }) },
  { additionalProperties: false },
);

/** Answer to `POST /create_ticket`, of the simple API. */
export const TicketCreated = Type.Object(
  {
    status: Type.Literal('ok'),
    ticket_id: TicketId,
    message: Type.String(),
    branch: Type.String(),
    created: Type.Boolean(),
  },
  {
    $id: 'TicketCreated',
    examples: [
      {
        status: 'ok',
        ticket_id: 'REL-123',
        message: 'New ticket created, repo cloned, and branch initialized.',
        branch: 'ticket_REL-123',
        created: true,
      },
    ],
  },
);

export const TicketSynced = Type.Object(
  {
    ticket_id: TicketId,
    updated: Type.Boolean({ description: 'Whether the branch changed.' }),
    head: Type.String({ description: 'Newest commit of the branch.' }),
    base: Type.String({ description: 'Newest commit of the base branch.' }),
    notes: Type.Array(Type.String(), { description: 'For a person: what the sync left unchanged, and why.' }),
  },
  {
    $id: 'TicketSynced',
    examples: [
      {
        ticket_id: 'REL-123',
        updated: true,
        head: '9fceb02d0ae598e95dc970b74767f19372d61af8',
        base: '7b2f1c0e9d8a76543210fedcba9876543210abcd',
        notes: [],
      },
    ],
  },
);
export type TicketSynced = Static<typeof TicketSynced>;

export const FileChange = Type.Object({
  path: Type.String(),
  old_path: Type.Optional(Type.String()),
  status: Type.Union([
    Type.Literal('added'),
    Type.Literal('modified'),
    Type.Literal('deleted'),
    Type.Literal('renamed'),
    Type.Literal('type_changed'),
  ]),
  additions: Type.Integer(),
  deletions: Type.Integer(),
  binary: Type.Boolean(),
});
export type FileChange = Static<typeof FileChange>;

export const examplePatch = `diff --git a/src/money.ts b/src/money.ts
index 3c1f0d2..8a9b7e4 100644
--- a/src/money.ts
+++ b/src/money.ts
@@ -1,3 +1,3 @@
 export function cents(amount: number): number {
-  return Math.floor(amount * 100);
+  return Math.round(amount * 100);
 }
`;

export const Diff = Type.Object(
  {
    base: Type.String({ description: 'Commit that the branch is compared with.' }),
    head: Type.String({ description: 'Newest commit of the branch.' }),
    files: Type.Array(FileChange, { description: 'At most 3,000 of them.' }),
    omitted_files: Type.Integer({
      minimum: 0,
      description:
        'Number of changed files that are not in `files`: beyond the maximum, too large, or in a nested repository.',
    }),
    patch: Type.String({ description: 'Unified diff, cut at 5 MB; `truncated` is true then.' }),
    truncated: Type.Boolean(),
  },
  {
    $id: 'Diff',
    examples: [
      {
        base: '7b2f1c0e9d8a76543210fedcba9876543210abcd',
        head: '9fceb02d0ae598e95dc970b74767f19372d61af8',
        files: [{ path: 'src/money.ts', status: 'modified', additions: 1, deletions: 1, binary: false }],
        omitted_files: 0,
        patch: examplePatch,
        truncated: false,
      },
    ],
  },
);
export type Diff = Static<typeof Diff>;
