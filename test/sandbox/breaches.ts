import type { FileCall } from './file-calls.ts';

/** Paths below the folder of a server that agents can write; a spare agent waits in a staged folder. */
const ON_HOST =
  /^\/(?:tickets\/(?!\.)[^/]+|tickets\/\.staging\/spare-[^/]+|tickets\/\.trash\/[^/]+|tickets\/\.quarantine\/[^/]+\/[^/]+|data\/(?:conversations|tmp)\/.*?\/chats|data\/trash\/[^/]+)(?=\/|$)/;
/** The same paths where bubblewrap mounts them for an agent. */
const MOUNTED = /^\/newroot\/(?:work|home\/agent\/\.gemini\/tmp\/[^/]+\/chats)(?=\/|$)/;
const THROUGH_A_PROCESS = /^\/proc\/(?!self\/)[^/]+\/(?:root|cwd|fd|map_files)\//;
const OPENS = /^(open|openat|openat2|creat|execve|execveat|chdir)$/;

/**
 * Finds the calls by which a program with the view of the host opens, follows or walks a path that an agent can write.
 *
 * A call may inspect, create and move a name directly in such a folder, as long as it follows no link: no agent can
 * replace a parent folder. The folder itself may be inspected but not opened, because no agent can replace it either.
 * @param dir folder of the server, with `data` and `tickets`
 */
export function breaches(calls: readonly FileCall[], dir: string): FileCall[] {
  return calls.filter((call) => {
    if (call.view === 'sandbox') return false;
    if (call.paths.some((path) => THROUGH_A_PROCESS.test(path))) return true;
    return call.paths.some((path) => {
      const depth = depthOf(path, call.view, dir);
      if (depth === undefined) return false;
      return call.view === 'host' ? breaksAsHost(call, depth) : breaksAsMounter(path, depth);
    });
  });
}

function breaksAsHost({ call, follows }: FileCall, depth: number): boolean {
  if (depth === 0) return OPENS.test(call);
  return depth > 1 || follows;
}

/** bubblewrap mounts the folder and covers its `.git` with a file of the server; no agent of the ticket runs meanwhile. */
function breaksAsMounter(path: string, depth: number): boolean {
  return depth > 0 && path !== '/newroot/work/.git';
}

/** Counts the names of a path below a folder that an agent can write; `undefined` for other paths. */
function depthOf(path: string, view: FileCall['view'], dir: string): number | undefined {
  const [mounted] = (view === 'mounting' && MOUNTED.exec(path)) || [];
  if (mounted !== undefined) return countNames(path.slice(mounted.length));
  const host = view === 'host' ? path : path.replace(/^\/(?:oldroot|newroot)(?=\/)/, '');
  if (!host.startsWith(`${dir}/`)) return undefined;
  const below = host.slice(dir.length);
  const [folder] = ON_HOST.exec(below) ?? [];
  return folder === undefined ? undefined : countNames(below.slice(folder.length));
}

function countNames(path: string): number {
  return path.split('/').filter(Boolean).length;
}
