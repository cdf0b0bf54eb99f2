// Preloaded into a server: a signal starts garbage collection, so that memory is measured without garbage.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');
// The server does not use this signal.
process.on('SIGWINCH', () => {
  // The first collection releases objects, such as socket handles, that only the second one can free.
  collect();
  setImmediate(collect);
});
