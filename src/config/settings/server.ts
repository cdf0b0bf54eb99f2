import { count, folder, oneOf, text } from './kinds.ts';

export const serverSettings = {
  PORT: count(8000, 0, 65_535, 'TCP port to listen on; 0 picks a free one.'),
  HOST: text('Address to listen on. Any address other than a loopback one requires an API key.', '127.0.0.1'),
  LOG_LEVEL: oneOf(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'Lowest level that is logged: trace, debug, info, warn, error, fatal or silent.',
  ),
  DATA_DIR: folder('./data', 'Folder of the store, the mirrors and the conversations.'),
  TICKETS_ROOT: folder('./tickets', 'Folder of the workspaces, one per ticket.'),
  SHUTDOWN_SECONDS: count(
    20,
    1,
    86_400,
    'Time limit of a graceful stop. Active runs can finish during the first half of it. The others return to the queue and continue after the next start.',
  ),
  LEASE_SECONDS: count(
    15,
    5,
    3600,
    'Time without a heartbeat after which a starting server kills the server that holds DATA_DIR, and takes over.',
  ),
};
