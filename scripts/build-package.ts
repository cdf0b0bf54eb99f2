import { execFileSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Builds what the published package runs: Node strips types everywhere but below node_modules. The files that the sources
// read beside themselves go where they are looked for.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');

await rm(DIST, { recursive: true, force: true });
// The client is the one part that others import.
for (const project of ['tsconfig.build.json', 'tsconfig.client.json']) {
  execFileSync(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', project], { cwd: ROOT, stdio: 'inherit' });
}
await cp(join(ROOT, 'src'), join(DIST, 'src'), { recursive: true, filter: (file) => !file.endsWith('.ts') });
await rm(join(DIST, 'standins', 'sample'), { recursive: true, force: true });
await cp(join(ROOT, 'standins', 'sample'), join(DIST, 'standins', 'sample'), { recursive: true });
execFileSync(process.execPath, [join(ROOT, 'scripts', 'build-dashboard.ts')], { stdio: 'inherit' });
const page = join('dashboard', 'dist');
await cp(join(ROOT, page), join(DIST, page), { recursive: true });
