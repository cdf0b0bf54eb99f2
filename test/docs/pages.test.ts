import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import openapi from '../../docs/openapi.json' with { type: 'json' };

const root = new URL('../../', import.meta.url);
const docs = readdirSync(new URL('docs/', root)).filter((name) => name.endsWith('.md'));
const decisions = readdirSync(new URL('docs/decisions/', root));
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...docs.map((name) => `docs/${name}`),
  ...decisions.map((name) => `docs/decisions/${name}`),
  'standins/README.md',
];
const read = (page: string) => readFileSync(new URL(page, root), 'utf8');
/** A route with every parameter, written `{run_id}` or `RUN`, as `*`. */
const shape = (path: string) => path.replace(/\{[^}]*\}|(?<=\/)[A-Z][A-Z_]*(?=\/|$)/g, '*');
const routes = new Set(
  Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${shape(path)}`),
  ),
);

for (const page of pages) {
  t.test(`the links of ${page} resolve`, async (t) => {
    const links = read(page).matchAll(/\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"/g);
    for (const [, link, image] of links) {
      const target = (link ?? image ?? '').replace(/#.*/, '');
      if (target === '' || /^[a-z]+:/.test(target)) continue;
      t.ok(existsSync(new URL(target, new URL(page, root))), target);
    }
  });
}

t.test('docs/api.md names routes that exist', async (t) => {
  const named = [...read('docs/api.md').matchAll(/`((?:GET|POST|PUT|DELETE) \/[^?`]*)/g)];
  t.ok(named.length > 20);
  for (const [, route = ''] of named) t.ok(routes.has(shape(route)), route);
});

for (const page of ['docs/architecture.md', 'CONTRIBUTING.md', 'AGENTS.md']) {
  t.test(`the files and folders that ${page} names exist`, async (t) => {
    const named = read(page).matchAll(
      /`((?:src|plugins|schemas|client|dashboard|standins|test|bench|scripts|docs)\/[^\s`<]*)`/g,
    );
    for (const [, path = ''] of named) {
      // Capitals such as NAME are placeholders.
      if (!/[A-Z]{4}|[*{]/.test(path)) t.ok(existsSync(new URL(path, root)), path);
    }
  });
}

t.test('docs/README.md and docs/decisions/README.md list every page', async (t) => {
  const listed = (folder: string, names: string[]) => {
    const index = read(`${folder}/README.md`);
    for (const name of names.filter((name) => name !== 'README.md')) t.ok(index.includes(`(${name})`), name);
  };
  listed('docs', docs);
  listed('docs/decisions', decisions);
});
