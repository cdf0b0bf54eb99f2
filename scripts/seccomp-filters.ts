import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { assemble } from '../src/sandbox/seccomp/assemble.ts';
import { RULES } from '../src/sandbox/seccomp/rules.ts';
import { ARCHITECTURES } from '../src/sandbox/seccomp/syscalls.ts';

/** Assembles the seccomp filters and their hashes. With `--check`, fails when they are outdated and writes nothing. */

const FOLDER = new URL('../src/sandbox/seccomp/', import.meta.url);

const filters = (['x64', 'arm64'] as const).map((architecture) => {
  const content = assemble(RULES, architecture);
  const { file } = ARCHITECTURES[architecture];
  return { architecture, file, content, sha256: createHash('sha256').update(content).digest('hex') };
});

const hashes = `// Written by scripts/seccomp-filters.ts.

/** SHA-256 of the filter of each architecture. */
export const HASHES = {
${filters.map(({ architecture, sha256 }) => `  ${architecture}: '${sha256}',`).join('\n')}
} as const;
`;

const files = [
  ...filters.map(({ file, content }) => ({ file, content: Buffer.from(content) })),
  { file: 'hashes.ts', content: Buffer.from(hashes) },
];
for (const { file, content } of files) {
  const path = new URL(file, FOLDER);
  if (!process.argv.includes('--check')) {
    await writeFile(path, content);
  } else if (!content.equals(await readFile(path).catch(() => Buffer.alloc(0)))) {
    console.error(`src/sandbox/seccomp/${file} is outdated. Run: npm run docs`);
    process.exitCode = 1;
  }
}
