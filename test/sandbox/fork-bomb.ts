import { makeSandbox } from './fixtures.ts';

/** Starts more processes in a sandbox than its limit, and prints the result. Argument: a folder with `data` and `tickets`. */
const [root = ''] = process.argv.slice(2);
const folders = { DATA_DIR: `${root}/data`, TICKETS_ROOT: `${root}/tickets`, workspace: `${root}/tickets/T-1` };
const { sh } = makeSandbox(folders, 'auto');
const { output, code } = await sh(
  'i=0; while [ $i -lt 1500 ]; do sleep 1000 & i=$((i+1)); done; echo "all of them were started"',
);
console.log(JSON.stringify({ output: output.slice(-300), code }));
