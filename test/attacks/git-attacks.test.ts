import { fileURLToPath } from 'node:url';
import t from 'tap';
import { SERVER_USERS } from '../helpers/users.ts';

const TABLE = fileURLToPath(new URL('git-attacks-table.ts', import.meta.url));
/** Without that of tap, whose loader writes into the checkout. The time limit of this file holds for the programs, too. */
const ENVIRONMENT = [`PATH=${process.env.PATH}`, 'TAP=1', 'TAP_TIMEOUT=0'];

/** `node test/attacks/prove-git-attacks.ts` shows that each attack works on a git without the defences. */
t.jobs = SERVER_USERS.length;
for (const { name, skip, prefix } of SERVER_USERS) {
  const [program = 'env', ...args] = [...prefix, 'env', '-i', ...ENVIRONMENT, process.execPath, TABLE];
  const title = `repositories and agents attack git of the user ${name}`;
  if (skip) t.test(title, { skip }, () => {});
  else t.spawn(program, args, { cwd: '/', buffered: true }, title);
}
