import type { FileCall } from './file-calls.ts';

/** What agents can write, below the folder of a server; a spare agent waits in a staged folder. */
const ON_HOST =
  /^\/(?:tickets\/(?!\.)[^/]+|tickets\/\.staging\/spare-[^/]+|tickets\/\.trash\/[^/]+|tickets\/\.quarantine\/[^/]+\/[^/]+|data\/(?:conversations|tmp)\/.*?\/chats|data\/trash\/[^/]+)(?=\/|$)/;
/** The same where bubblewrap mounts it for an agent. */
const MOUNTED = /^\/newroot\/(?:work|home\/agent\/\.gemini\/tmp\/[^/]+\/chats)(?=\/|$)/;
const THROUGH_A_PROCESS = /^\/proc\/(?!self\/)[^/]+\/(?:root|cwd|fd|map_files)\//;
const OPENS = /^(open|openat|openat2|creat|execve|execveat|chdir)$/;

/**
 * Finds the calls by which a program with the view of the host opens, follows or walks what an agent can write.
 *
 * A name directly in such a folder may be looked at, made and moved where that follows no link: nothing on the way can be replaced. The
 * folder itself lies where no agent can put another one, so that only what it holds must not be read.
 * @param dir folder of the server: its data in `data`, its workspaces in `tickets`
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

/** bubblewrap mounts the folder, and puts a file of the server over its `.git`; no agent of the ticket may write meanwhile. */
function breaksAsMounter(path: string, depth: number): boolean {
  return depth > 0 && path !== '/newroot/work/.git';
}

/** How many names a path has below the folder that an agent can write; undefined for one elsewhere. */
function depthOf(path: string, view: FileCall['view'], dir: string): number | undefined {
  const [mounted] = (view === 'mounting' && MOUNTED.exec(path)) || [];
  if (mounted !== undefined) return namesIn(path.slice(mounted.length));
  const host = view === 'host' ? path : path.replace(/^\/(?:oldroot|newroot)(?=\/)/, '');
  if (!host.startsWith(`${dir}/`)) return undefined;
  const below = host.slice(dir.length);
  const [folder] = ON_HOST.exec(below) ?? [];
  return folder === undefined ? undefined : namesIn(below.slice(folder.length));
}

function namesIn(path: string): number {
  return path.split('/').filter(Boolean).length;
}
