/** The uid inside a user namespace that maps the server's own uid. */
const INSIDE_UID = 1000;

/** Capabilities of setpriv(1), which enters the folder of another user, becomes that user and drops them all. */
const CHANGE_USER_CAPABILITIES = ['CAP_DAC_READ_SEARCH', 'CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'];
/** Capabilities for maintenance of files that belong to other users or that no user can read. */
const FILE_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER'];

/** The host user of a program in a sandbox. */
export type User =
  /** The server's user, in a user namespace. */
  | 'server'
  /** Root with capabilities over files only, for programs of the server that see one tree. */
  | 'file-admin'
  /** A separate uid, when the server is root. */
  | number;

/**
 * Returns bubblewrap's options for namespaces and capabilities. Root mounts without a user namespace, so that it can
 * mount folders which the final uid of the program cannot enter.
 */
export function isolation(user: User): string[] {
  const common = ['--hostname', 'sandbox', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL'];
  if (user === 'server') {
    const uid = String(INSIDE_UID);
    return ['--unshare-all', '--unshare-user', '--disable-userns', '--uid', uid, '--gid', uid, ...common];
  }
  const namespaces = ['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'];
  const capabilities = user === 'file-admin' ? FILE_CAPABILITIES : CHANGE_USER_CAPABILITIES;
  return [...namespaces, ...common, ...capabilities.flatMap((capability) => ['--cap-add', capability])];
}

/** Returns the command prefix that switches to a numeric user without groups and capabilities. */
export function switchUser(user: User): string[] {
  if (typeof user === 'string') return [];
  const id = String(user);
  const options = ['--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs'];
  return ['/usr/bin/setpriv', `--reuid=${id}`, `--regid=${id}`, ...options, '--'];
}

/** Returns the uid of a user as the program inside sees it. */
export function uidInside(user: User): number {
  if (user === 'server') return INSIDE_UID;
  return user === 'file-admin' ? 0 : user;
}
