import { execFileSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Builds the published package, because Node does not strip types below node_modules. Copies the data files of the sources
// beside the compiled code.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');

await rm(DIST, { recursive: true, force: true });
// Other programs import only the client, so only it has declarations.
for (const project of ['tsconfig.build.json', 'tsconfig.client.json']) {
  execFileSync(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', project], { cwd: ROOT, stdio: 'inherit' });
}
await cp(join(ROOT, 'src'), join(DIST, 'src'), { recursive: true, filter: (file) => !file.endsWith('.ts') });
await rm(join(DIST, 'standins', 'sample'), { recursive: true, force: true });
await cp(join(ROOT, 'standins', 'sample'), join(DIST, 'standins', 'sample'), { recursive: true });
const page = join('dashboard', 'dist');
await cp(join(ROOT, page), join(DIST, page), { recursive: true });
