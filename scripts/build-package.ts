import { execFileSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Builds `dist/` of the published package, since Node strips no types below node_modules. Files that the sources read keep
// their relative paths.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');

await rm(DIST, { recursive: true, force: true });
const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
execFileSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
await cp(join(ROOT, 'src'), join(DIST, 'src'), { recursive: true, filter: (file) => !file.endsWith('.ts') });
await rm(join(DIST, 'standins', 'sample'), { recursive: true, force: true });
await cp(join(ROOT, 'standins', 'sample'), join(DIST, 'standins', 'sample'), { recursive: true });
const page = join('dashboard', 'dist');
await cp(join(ROOT, page), join(DIST, page), { recursive: true });
