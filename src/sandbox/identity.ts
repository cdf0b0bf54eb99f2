import { randomInt } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';

/** Which user of the host the programs of a sandbox are. */
export type Identities = {
  /**
   * Returns the uid for programs that work on a folder: its owner. Undefined where the server is not root: every sandbox then
   * has the server's own uid, in a user namespace.
   * @throws AppError `agent_unavailable` when the folder belongs to root
   */
  of(folder: string): number | undefined;
  /** The uid that owns a path, which is not followed. */
  owner(path: string): number | undefined;
  /** Gives a new folder of the server, not what it holds, to a uid that no other folder of TICKETS_ROOT has. */
  assign(folder: string): Promise<void>;
  /** Gives new files and folders of the server to the owner of a folder. */
  share(folder: string, paths: readonly string[]): Promise<void>;
  /** Returns why no sandbox can have a uid of its own, if so. */
  failure(): { detail: string; remedy: string } | undefined;
};

/**
 * A server that is root gives each workspace a uid of its own, which owns its files and which its agents have. They never
 * have uid 0: the kernel lets that write settings of the whole machine without any capability, in every namespace.
 */
export function createIdentities(config: Pick<Config, 'SANDBOX_UIDS' | 'TICKETS_ROOT'>): Identities {
  if (process.getuid?.() !== 0) {
    const nothing = async () => {};
    return { of: () => undefined, owner: ownerOf, assign: nothing, share: nothing, failure: () => undefined };
  }
  const { first, last } = config.SANDBOX_UIDS;
  // Other users of the machine are kept out by the top folders; the uids of the sandboxes have to read in them.
  process.umask(0o022);
  const allocated = new Set<number>();

  function isFree(uid: number): boolean {
    const { TICKETS_ROOT: root } = config;
    const staging = join(root, '.staging');
    const folders = [root, staging].flatMap((folder) => namesIn(folder).map((name) => join(folder, name)));
    return !allocated.has(uid) && !folders.some((folder) => ownerOf(folder) === uid);
  }

  function allocate(): number {
    if (allocated.size > (last - first) / 2) allocated.clear();
    const uid = randomInt(first, last + 1);
    if (!isFree(uid)) return allocate();
    allocated.add(uid);
    return uid;
  }

  return {
    of(folder) {
      const uid = ownerOf(folder);
      if (uid !== undefined && uid !== 0) return uid;
      throw new AppError('agent_unavailable', 'The folder of the sandbox belongs to root.', {
        remedy: 'Restart the server: at its start it gives the workspaces of an older version to users of their own.',
      });
    },
    owner: ownerOf,
    async assign(folder) {
      const uid = allocate();
      await chown(folder, uid, uid);
    },
    async share(folder, paths) {
      const uid = this.of(folder);
      if (uid !== undefined) await Promise.all(paths.map((path) => chown(path, uid, uid)));
    },
    failure() {
      if (isMapped(first, last)) return undefined;
      return {
        detail: `The server is root, and the uids ${first} to ${last} for its sandboxes do not exist here.`,
        remedy: 'Run the server as a user of its own, or set SANDBOX_UIDS to uids that /proc/self/uid_map maps.',
      };
    },
  };
}

function ownerOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.uid;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // It does not exist yet.
    return [];
  }
}

/** Whether a user namespace around the server, such as that of a container, has these uids; user_namespaces(7). */
function isMapped(first: number, last: number): boolean {
  const lines = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  return lines.some((line) => {
    const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= first && last < inside + count;
  });
}
