import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GIT_ENVIRONMENT } from '../standins/bare-repository.ts';

const CACHE = join(tmpdir(), 'pullwright-bench-cache');

/** `history`: 10,000 files, 60,000 objects, 1,170 commits. `tree`: 50,000 files, one commit. */
export type RepositoryKind = 'history' | 'tree';

/** Returns a deterministic bare repository. Creates it once, in the folder for temporary files. */
export async function repositoryOf(kind: RepositoryKind): Promise<string> {
  const folder = join(CACHE, `${kind}-1.git`);
  if (await stat(folder).catch(() => undefined)) return folder;
  await mkdir(CACHE, { recursive: true });
  const made = `${folder}.${process.pid}`;
  await git(['init', '--quiet', '--bare', '--initial-branch=main', made]);
  await git(
    ['--git-dir', made, 'fast-import', '--quiet'],
    kind === 'history' ? history() : commit(1, files(50_000, 500)),
  );
  await git(['--git-dir', made, 'repack', '-adq']);
  await rename(made, folder).catch(() => rm(made, { recursive: true, force: true }));
  return folder;
}

function* history(): Generator<string> {
  yield* commit(1, files(10_000, 1500));
  for (let number = 2; number <= 1170; number++) {
    yield* commit(
      number,
      Array.from({ length: 20 }, (_, index) => file((number * 7919 + index * 503) % 10_000, number, 1500)),
    );
  }
}

function* files(count: number, bytes: number): Generator<string> {
  for (let index = 0; index < count; index++) yield file(index, 0, bytes);
}

function file(index: number, version: number, bytes: number): string {
  const words = [];
  // Pseudo-random text, so that files differ and do not compress to nothing.
  let seed = index * 1_000_003 + version * 7919 + 1;
  for (let length = 0; length < bytes; length += 9) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    words.push(seed.toString(36).padStart(8, 'x'), length % 72 === 0 ? '\n' : ' ');
  }
  const text = words.join('');
  return `M 100644 inline src/part-${index % 100}/group-${index % 10}/file-${index}.txt\ndata ${text.length}\n${text}\n`;
}

function* commit(number: number, changes: Iterable<string>): Generator<string> {
  const message = `Change ${number}`;
  yield `commit refs/heads/main\ncommitter Someone <someone@example.org> ${1_767_600_000 + number} +0000\n`;
  yield `data ${message.length}\n${message}\n`;
  yield* changes;
}

async function git(args: string[], input?: Iterable<string>): Promise<void> {
  const child = spawn('git', args, { env: GIT_ENVIRONMENT, stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = once(child, 'exit');
  for (const text of input ?? []) if (!child.stdin.write(text)) await once(child.stdin, 'drain');
  child.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`git ${args.join(' ')} failed`);
}
