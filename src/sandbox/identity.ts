import { randomInt } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { namesInSync } from '../files/entries.ts';

/** Host uids of the programs in sandboxes. */
export type Identities = {
  /**
   * Returns the uid for programs that work on a folder: its owner. Undefined when the server is not root: then every
   * sandbox has the server's uid, in a user namespace.
   * @throws AppError `agent_unavailable` when the folder belongs to root
   */
  of(folder: string): number | undefined;
  /** Returns the uid that owns a path, without following links. */
  owner(path: string): number | undefined;
  /** Assigns a new folder, without its content, to a uid that owns no other folder of TICKETS_ROOT. */
  assign(folder: string): Promise<void>;
  /** Assigns new files and folders to the owner of a folder. */
  share(folder: string, paths: readonly string[]): Promise<void>;
  /** Returns the reason why sandboxes cannot have separate uids, if any. */
  failure(): { detail: string; remedy: string } | undefined;
};

/**
 * Creates the identities of sandboxes. A server that is root gives each workspace its own uid, for its files and its agents.
 * Agents never have uid 0: the kernel lets it write settings of the machine without any capability, in every namespace.
 */
export function createIdentities(config: Pick<Config, 'SANDBOX_UIDS' | 'TICKETS_ROOT'>): Identities {
  if (process.getuid?.() !== 0) {
    const nothing = async () => {};
    return { of: () => undefined, owner: ownerOf, assign: nothing, share: nothing, failure: () => undefined };
  }
  const { first, last } = config.SANDBOX_UIDS;
  // The uids of the sandboxes must read below the top folders, whose modes keep other users out.
  process.umask(0o022);
  const allocated = new Set<number>();

  function isFree(uid: number): boolean {
    const { TICKETS_ROOT: root } = config;
    const staging = join(root, '.staging');
    const folders = [root, staging].flatMap((folder) => namesInSync(folder).map((name) => join(folder, name)));
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
        remedy: 'Restart the server: at startup it gives the workspaces of older versions their own uids.',
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
        detail: `The server is root, but the uids ${first} to ${last} for its sandboxes do not exist here.`,
        remedy:
          'Run the server as an unprivileged user of its own, or set SANDBOX_UIDS to uids that /proc/self/uid_map maps.',
      };
    },
  };
}

function ownerOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.uid;
}

/** Returns whether the server's user namespace, such as that of a container, maps these uids; user_namespaces(7). */
function isMapped(first: number, last: number): boolean {
  const lines = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  return lines.some((line) => {
    const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= first && last < inside + count;
  });
}
