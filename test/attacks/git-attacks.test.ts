import { fileURLToPath } from 'node:url';
import t from 'tap';
import { SERVER_USERS } from '../helpers/users.ts';

const TABLE = fileURLToPath(new URL('git-attacks-table.ts', import.meta.url));
/** The environment has no loader of tap, which would write into the checkout. The timeout of this file covers the program. */
const ENVIRONMENT = [`PATH=${process.env.PATH}`, 'TAP=1', 'TAP_TIMEOUT=0'];

/** `node test/attacks/prove-git-attacks.ts` shows that the attacks succeed on git without the defences. */
t.jobs = SERVER_USERS.length;
for (const { name, skip, prefix } of SERVER_USERS) {
  const [program = 'env', ...args] = [...prefix, 'env', '-i', ...ENVIRONMENT, process.execPath, TABLE];
  const title = `repositories and agents attack the git of the user ${name}`;
  if (skip) t.test(title, { skip }, () => {});
  else t.spawn(program, args, { cwd: '/', buffered: true }, title);
}
