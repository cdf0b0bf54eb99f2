import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { createLayout } from '../files/layout.ts';
import { type FileSystem, probeFileSystem } from '../files/probe.ts';
import type { Git } from '../git/git.ts';
import { createMirrorLock } from '../mirrors/mirror-lock.ts';
import { createMirrors } from '../mirrors/mirrors.ts';
import { createUncompressedPacks } from '../mirrors/uncompressed-packs.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { createTrash } from '../trees/trash.ts';
import { createTreePrograms } from '../trees/tree-programs.ts';
import { createGitDirFactory } from './checkout/git-dir.ts';
import { createSpareCheckouts } from './checkout/spare-checkouts.ts';
import { createTreeLimits } from './scan/tree-limits.ts';
import { createTreeScans } from './scan/tree-scan.ts';
import type { SyncCache } from './sync/sync.ts';
import { createTicketLock } from './ticket-lock.ts';

export type WorkspacesDeps = {
  config: Pick<
    Config,
    | 'DATA_DIR'
    | 'TICKETS_ROOT'
    | 'ALLOWED_REPO_HOSTS'
    | 'PROTECTED_PATHS'
    | 'FETCH_TTL_SECONDS'
    | 'SPARE_CHECKOUTS'
    | 'MIN_FREE_DISK_MB'
    | 'MAX_WORKSPACE_MB'
  >;
  git: Git;
  sandbox: Pick<Sandbox, 'confine' | 'identities'>;
  redactor: Redactor;
  logger?: Logger;
};

export type WorkspaceContext = ReturnType<typeof createContext>;

/** Creates the parts that the operations on workspaces share. */
export function createContext({ config, git, sandbox, redactor, logger }: WorkspacesDeps) {
  const { confine, identities } = sandbox;
  const layout = createLayout(config);
  const programs = createTreePrograms(confine, identities);
  const tools = { git, programs, identities, staging: layout.data.staging };
  const trash = createTrash(confine, logger);
  const mirrorLock = createMirrorLock();
  let probed: Promise<FileSystem> | undefined;
  const fileSystem = () => {
    probed ??= probeFileSystem(layout.tickets.staging);
    return probed;
  };
  const ignoresCase = async () => (await fileSystem()).ignoresCase;
  const createGitDir = createGitDirFactory(git, layout, ignoresCase);
  const syncCache: SyncCache = new Map();
  return {
    git,
    redactor,
    logger,
    layout,
    tools,
    trash,
    mirrorLock,
    fileSystem,
    createGitDir,
    syncCache,
    allowedHosts: config.ALLOWED_REPO_HOSTS,
    protectedPaths: config.PROTECTED_PATHS,
    ticketLock: createTicketLock(),
    scans: createTreeScans(git, async () => createTreeLimits(await fileSystem(), layout, config.MAX_WORKSPACE_MB)),
    mirrors: createMirrors({ config, git, layout, trash, lock: mirrorLock }),
    uncompressedPacks: createUncompressedPacks({ git, layout, trash, lock: mirrorLock, logger }),
    spareCheckouts: createSpareCheckouts({ config, tools, layout, trash, mirrorLock, createGitDir, logger }),
  };
}
