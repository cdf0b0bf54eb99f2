import type { Logger } from '../../src/config/logger.ts';
import { AppError } from '../../src/errors/app-error.ts';
import { repo, setUp, TOKEN } from './world.ts';

/**
 * Runs one action of the server in a separate process. Arguments: DIR ACTION REPOSITORY TICKET KILL_AT.
 * Kills itself after KILL_AT git commands. If KILL_AT is 0, prints their number, or the code and message of the error.
 */
const [, , dir = '', action = '', name = '', ticketId = '', killAt = '0'] = process.argv;
let commands = 0;
const silent = () => {};
const logger: Logger = {
  debug(_, message) {
    if (message !== 'git ran') return;
    commands += 1;
    if (commands === Number(killAt)) process.kill(process.pid, 'SIGKILL');
  },
  info: silent,
  warn: silent,
  error: silent,
  child: () => logger,
};

const { workspaces } = setUp(dir, process.env, TOKEN, logger);
try {
  await workspaces.recover();
  if (action === 'create') await workspaces.create({ ticketId, repo: repo(name) });
  if (action === 'sync') await workspaces.sync(ticketId);
  if (action === 'commit') await workspaces.commit(ticketId, { subject: 'Commit in a killed process' });
  console.log(JSON.stringify({ commands }));
} catch (error) {
  const { code, message } = error instanceof AppError ? error : { code: String(error), message: '' };
  console.log(JSON.stringify({ code, message }));
}
