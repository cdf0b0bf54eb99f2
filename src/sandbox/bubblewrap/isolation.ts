/** The programs inside see themselves as this user where a user namespace can call the server's own uid so. */
const INSIDE_UID = 1000;

/**
 * What root needs to enter the folder of another user, and to leave root behind: setpriv(1) runs with these, and drops
 * them with the uid.
 */
const CHANGE_USER_CAPABILITIES = ['CAP_DAC_READ_SEARCH', 'CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'];
/** What maintenance of files needs that belong to others, or are readable for nobody. */
const FILE_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER'];

/** Who a program in a sandbox is on the host. */
export type User =
  /** The server's own user, in a user namespace. */
  | 'server'
  /** Root, which sees the mounts of the sandbox alone and keeps its rights over files; for the server's own programs. */
  | 'file-admin'
  /** A uid of its own: the server is root. */
  | number;

/**
 * Returns bubblewrap's options for namespaces and capabilities. Root needs no user namespace to mount; without one, the
 * folders of the server may be closed to the uid that the program has in the end.
 */
export function isolation(user: User): string[] {
  const common = ['--hostname', 'sandbox', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL'];
  if (user === 'server') {
    const uid = String(INSIDE_UID);
    return ['--unshare-all', '--unshare-user', '--disable-userns', '--uid', uid, '--gid', uid, ...common];
  }
  const namespaces = ['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'];
  const kept = user === 'file-admin' ? FILE_CAPABILITIES : CHANGE_USER_CAPABILITIES;
  return [...namespaces, ...common, ...kept.flatMap((capability) => ['--cap-add', capability])];
}

/** Returns what goes before a program so that it has the user's uid and no right beside. */
export function switchUser(user: User): string[] {
  if (typeof user === 'string') return [];
  const id = String(user);
  const nothing = ['--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs'];
  return ['/usr/bin/setpriv', `--reuid=${id}`, `--regid=${id}`, ...nothing, '--'];
}

/** The uid that the program itself sees. */
export function uidInside(user: User): number {
  if (user === 'server') return INSIDE_UID;
  return user === 'file-admin' ? 0 : user;
}
