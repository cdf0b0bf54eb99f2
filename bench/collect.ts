// Imported before a server: a signal makes it collect its garbage, so that what is measured after that is what it needs.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');
// A signal that the server has no other use for.
process.on('SIGWINCH', () => {
  // What the first round lets go of holds on to more, such as handles of sockets.
  collect();
  setImmediate(collect);
});
