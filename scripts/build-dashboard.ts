import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';

const ROOT = fileURLToPath(new URL('../dashboard', import.meta.url));
const DIST = join(ROOT, 'dist');

/** Builds the dashboard, compresses its files, and prints the size of a first page load. */
async function buildDashboard(): Promise<void> {
  await build({ configFile: join(ROOT, 'vite.config.ts'), logLevel: 'warn' });
  const assets = join(DIST, 'assets');
  for (const file of readdirSync(assets)) {
    const content = readFileSync(join(assets, file));
    writeFileSync(join(assets, `${file}.gz`), gzipSync(content, { level: 9 }));
    writeFileSync(
      join(assets, `${file}.br`),
      brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
    );
  }
  const page = readFileSync(join(DIST, 'index.html'), 'utf8');
  const first = [...page.matchAll(/\/dashboard\/assets\/([^"]+)/g)].map(([, name = '']) => name);
  const sizes = first.map((name) => readFileSync(join(assets, `${name}.gz`)).length);
  const total = sizes.reduce((sum, size) => sum + size, gzipSync(page).length);
  console.error(`Built the dashboard: ${(total / 1000).toFixed(1)} kB gzipped at first load.`);
}

await buildDashboard();
