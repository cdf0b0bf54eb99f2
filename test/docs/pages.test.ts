import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import openapi from '../../docs/openapi.json' with { type: 'json' };

const root = new URL('../../', import.meta.url);
const docs = readdirSync(new URL('docs/', root)).filter((name) => name.endsWith('.md'));
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...docs.map((name) => `docs/${name}`)];
const read = (page: string) => readFileSync(new URL(page, root), 'utf8');
/** A route with every parameter, written `{run_id}` or `RUN`, as `*`. */
const shape = (path: string) => path.replace(/\{[^}]*\}|(?<=\/)[A-Z][A-Z_]*(?=\/|$)/g, '*');
const routes = new Set(
  Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${shape(path)}`),
  ),
);

for (const page of pages) {
  t.test(`${page}: its links resolve`, async (t) => {
    const links = read(page).matchAll(/\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"/g);
    for (const [, link, image] of links) {
      const target = (link ?? image ?? '').replace(/#.*/, '');
      if (target === '' || /^[a-z]+:/.test(target)) continue;
      t.ok(existsSync(new URL(target, new URL(page, root))), target);
    }
  });
}

t.test('README.md: its table of routes names routes that exist', async (t) => {
  const named = [...read('README.md').matchAll(/^\| `((?:GET|POST|PUT|DELETE) \/v1\/[^?`]*)/gm)];
  t.ok(named.length > 0);
  for (const [, route = ''] of named) t.ok(routes.has(shape(route)), route);
});

t.test('docs/README.md lists every page', async (t) => {
  const index = read('docs/README.md');
  for (const name of docs.filter((name) => name !== 'README.md')) t.ok(index.includes(`(${name})`), name);
});
