import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { plainGit } from './world.ts';

/** An entry of a tree. Its name may be any bytes. */
export type Node = { mode: string; name: string | Buffer; object: string };

/** Writes loose objects that git would not create into a bare repository: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects */
export function objectsOf(directory: string) {
  function write(type: string, content: string | Buffer): string {
    const bytes = Buffer.from(content);
    const whole = Buffer.concat([Buffer.from(`${type} ${bytes.length}\0`), bytes]);
    const object = createHash('sha1').update(whole).digest('hex');
    const path = join(directory, 'objects', object.slice(0, 2), object.slice(2));
    mkdirSync(dirname(path), { recursive: true });
    if (!existsSync(path)) writeFileSync(path, deflateSync(whole));
    return object;
  }
  const tree = (...nodes: Node[]) =>
    write(
      'tree',
      Buffer.concat(
        nodes.flatMap(({ mode, name, object }) => [
          Buffer.from(`${mode} `),
          Buffer.from(name),
          Buffer.of(0),
          Buffer.from(object, 'hex'),
        ]),
      ),
    );
  const file = (name: string | Buffer, content: string | Buffer = 'x\n'): Node => ({
    mode: '100644',
    name,
    object: write('blob', content),
  });
  const link = (name: string, target: string): Node => ({ mode: '120000', name, object: write('blob', target) });
  const folder = (name: string | Buffer, ...nodes: Node[]): Node => ({ mode: '40000', name, object: tree(...nodes) });

  return {
    file,
    link,
    folder,

    /** Nests folders of one name `depth` levels deep. */
    nested(name: string, depth: number, ...innermost: Node[]): Node {
      let node = folder(name, ...innermost);
      for (let level = 1; level < depth; level += 1) node = { mode: '40000', name, object: tree(node) };
      return node;
    },

    /** Nests folders of ten identical folders each, so that the innermost entries appear 10^levels times. */
    bomb(name: string, levels: number, ...innermost: Node[]): Node {
      let node = folder(name, ...innermost);
      for (let level = 0; level < levels; level += 1) {
        const { object } = node;
        node = folder(name, ...Array.from({ length: 10 }, (_, n) => ({ mode: '40000', name: `${n}`, object })));
      }
      return node;
    },

    /** Repeats a node `count` times, with a number after its name. */
    many(count: number, { mode, name, object }: Node): Node[] {
      const names = Array.from({ length: count }, (_, n) => `${name}${String(n).padStart(6, '0')}`);
      return names.map((numbered) => ({ mode, name: numbered, object }));
    },

    /** Commits a tree on top of a branch; `parent` is the branch itself by default. */
    commit(nodes: readonly Node[], branch = 'main', parent = branch): string {
      const git = (...args: string[]) => plainGit(['--git-dir', directory, ...args]);
      const commit = git('commit-tree', '-m', 'tree', '-p', parent, tree(...nodes));
      git('update-ref', `refs/heads/${branch}`, commit);
      return commit;
    },
  };
}

export type Objects = ReturnType<typeof objectsOf>;

/** A tree that a server with MAX_WORKSPACE_MB=64 refuses. No two bombs share a path, because git compares them slowly. */
export type HostileTree = {
  name: string;
  code: 'path_unsupported' | 'workspace_too_large';
  detail: RegExp;
  nodes: (objects: Objects) => Node[];
};

const MIB = 1024 ** 2;
const LONG = 'n'.repeat(256);

export const HOSTILE_TREES: readonly HostileTree[] = [
  {
    name: 'a link target of 5,000 bytes',
    code: 'path_unsupported',
    detail: /checked out here: docs\/link is a link with a target of 5000 bytes \(at most \d+\)\.$/,
    nodes: ({ folder, link }) => [folder('docs', link('link', 'x'.repeat(5000)))],
  },
  {
    name: 'a link without a target',
    code: 'path_unsupported',
    detail: /link is a link without a target/,
    nodes: ({ link }) => [link('link', '')],
  },
  {
    name: 'a link with a NUL in its target',
    code: 'path_unsupported',
    detail: /link is a link with a NUL/,
    nodes: ({ link }) => [link('link', 'README\0.md')],
  },
  {
    name: 'a file name of 256 bytes',
    code: 'path_unsupported',
    detail: /checked out here: n{40}\.\.\.n{20} has a name of 256 bytes \(at most 255\)/,
    nodes: ({ file }) => [file(LONG)],
  },
  {
    name: 'a folder name of 256 bytes',
    code: 'path_unsupported',
    detail: /has a name of 256 bytes/,
    nodes: ({ file, folder }) => [folder(LONG, file('a'))],
  },
  {
    name: 'a file name of 10 MB',
    code: 'path_unsupported',
    detail: /has a path of more than \d+ bytes/,
    nodes: ({ file }) => [file('n'.repeat(10_000_000))],
  },
  {
    name: 'long names in a path of 4,200 bytes',
    code: 'path_unsupported',
    detail: /has a path of more than \d+ bytes/,
    nodes: ({ file, nested }) => [nested('d'.repeat(199), 20, file('f'.repeat(200)))],
  },
  {
    name: 'folders 2,100 deep',
    code: 'path_unsupported',
    detail: /has a path of more than \d+ bytes/,
    nodes: ({ file, nested }) => [nested('d', 2100, file('f'))],
  },
  {
    name: 'many names that are too long',
    code: 'path_unsupported',
    detail: /^(?:[^;]+;){4}[^;]+\.$/,
    nodes: ({ file, many }) => many(1000, file(LONG)),
  },
  {
    name: 'a name that git refuses',
    code: 'path_unsupported',
    detail: /here: \.GIT has a name that git refuses/,
    nodes: ({ file, folder }) => [folder('.GIT', file('config', '[core]\n'))],
  },
  {
    name: 'a name that some file systems take for .git',
    code: 'path_unsupported',
    detail: /git refuses .* invalid path 'git~1\/config'/,
    nodes: ({ file, folder }) => [folder('git~1', file('config', '[core]\n'))],
  },
  {
    name: 'a path from the root',
    code: 'path_unsupported',
    detail: /here: \/etc has a name that git refuses/,
    nodes: ({ file }) => [file('/etc')],
  },
  {
    name: 'a way out of the workspace',
    code: 'path_unsupported',
    detail: /here: \.\. has a name that git refuses/,
    nodes: ({ file, folder }) => [folder('..', file('a'))],
  },
  {
    name: 'a .gitignore of 2 MiB',
    code: 'path_unsupported',
    detail: /docs\/\.gitignore is a file of rules for git of \d+ bytes/,
    nodes: ({ file, folder }) => [folder('docs', file('.gitignore', '*/a/**/b\n'.repeat(250_000)))],
  },
  {
    name: 'a .gitattributes of 2 MiB',
    code: 'path_unsupported',
    detail: /\.gitattributes is a file of rules/,
    nodes: ({ file }) => [file('.gitattributes', '*.a eol=crlf\n'.repeat(200_000))],
  },
  {
    name: '10^12 files in nested folders',
    code: 'workspace_too_large',
    detail: /more than the 64 MiB of a workspace, exceeded at files\/0\/\S+, after 16385 files and folders/,
    nodes: ({ bomb, file }) => [bomb('files', 12, file('f'))],
  },
  {
    name: '10^12 folders without any file',
    code: 'workspace_too_large',
    detail: /64 MiB/,
    nodes: ({ bomb }) => [bomb('folders', 12)],
  },
  {
    name: '10^12 submodules',
    code: 'workspace_too_large',
    detail: /64 MiB/,
    nodes: ({ bomb }) => [bomb('submodules', 12, { mode: '160000', name: 's', object: '1'.repeat(40) })],
  },
  {
    name: '20,000 empty files',
    code: 'workspace_too_large',
    detail: /16385 files and folders/,
    nodes: ({ file, many }) => many(20_000, file('f', '')),
  },
  {
    name: 'one text in 100 files',
    code: 'workspace_too_large',
    detail: /64 MiB/,
    nodes: ({ file, many }) => many(100, file('f', Buffer.alloc(MIB))),
  },
  {
    name: 'a file of 65 MiB',
    code: 'workspace_too_large',
    detail: /64 MiB/,
    nodes: ({ file }) => [file('f', Buffer.alloc(65 * MIB))],
  },
];
