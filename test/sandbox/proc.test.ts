import t from 'tap';
import { USERS } from './users.ts';

/** Lists the files of /proc that this process can open for writing, without links such as descriptors. */
const WRITABLE =
  'find /proc -xdev -type f -writable 2>/dev/null | while read -r path; do test -f "$path" && echo "$path"; done; exit 0';
const READABLE = 'cat /proc/keys /proc/key-users /proc/kallsyms /proc/interrupts 2>/dev/null | head -c 1; exit 0';
const WITHOUT = ['--remount-ro\0/proc\0', '--ro-bind\0/dev/null\0/proc/keys\0'];

for (const { name, skip, run } of USERS) {
  t.test(`/proc of a sandbox is read-only for the user ${name}`, { skip }, async (t) => {
    const commands = [
      ['sh', '-c', WRITABLE],
      ['sh', '-c', READABLE],
    ] as const;
    for (const { output } of await run({ commands })) t.equal(output, '');
    for (const { output } of await run({ commands, without: WITHOUT }))
      t.not(output, '', '/proc is writable without the options');
  });
}
