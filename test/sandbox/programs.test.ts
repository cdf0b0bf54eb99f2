import t from 'tap';
import { USERS } from './users.ts';

/** Command lines that repositories use every day. The first word is the program; the test skips missing programs. */
const PROGRAMS: readonly string[] = [
  'git init -q repository && cd repository && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m a && git gc -q',
  `node -e 'new (require("node:worker_threads").Worker)("process.exitCode = 0", { eval: true })'`,
  `node -e 'require("node:child_process").execFileSync("sh", ["-c", "exit 0"])'`,
  `node -e 'require("node:fs").cpSync(process.execPath, "copy")'`,
  `node -e 'require("node:os").networkInterfaces().lo[0].address'`,
  `node -e 'require("node:net").createServer().listen(0, "127.0.0.1", function () { this.close() })'`,
  `env UV_USE_IO_URING=1 node -e 'require("node:fs/promises").readFile(process.execPath)'`,
  'npm --version',
  'npx --version',
  'python3 -c "import multiprocessing, socket, ssl, subprocess, tempfile, threading; multiprocessing.Pool(2).map(abs, [1]); subprocess.run([\'true\'], check=True)"',
  'perl -e "fork || exit; wait; socketpair(my \\$a, my \\$b, 1, 1, 0) or die"',
  'bash -mc "sleep 0.01 & wait %1; kill -l > list; (exit 0) | cat"',
  'rg --files',
  'gh --version',
  'tar czf archive.tgz list && tar xzf archive.tgz && tar --delay-directory-restore -xzpf archive.tgz',
  'cp -a /usr/share/perl5 tree && du -s tree && find tree -type f | xargs -n 50 -P 4 cksum > sums && rm -r tree',
  'mkfifo fifo && (echo words > fifo &) && grep words fifo',
  'install -m 755 /bin/true installed && ./installed && chmod -R u+rwX,go-w . && chmod 1777 .',
  'touch -d yesterday list && ln -s list link && ln list hard && mv hard soft && truncate -s 1M sparse && cp --reflink=auto sparse sparser',
  'setarch -R true',
  'nice -n 1 taskset -c 0 timeout 10 flock list setsid true',
  'script -qec "tty; stty size" /dev/null',
  'ssh-keygen -q -t ed25519 -N "" -f key',
  'openssl rand -hex 4',
  'curl --version',
  'make --version',
  'cc --version && echo "int main(void) { return 0; }" > main.c && cc -o main main.c && ./main',
  'go version',
  'java -version',
];

for (const { name, skip, run } of USERS) {
  t.test(`ordinary programs run in a sandbox of the user ${name}`, { skip }, async (t) => {
    const commands = PROGRAMS.map((line) => ['sh', '-c', ifInstalled(line)] as const);
    const results = await run({ commands });
    for (const [index, line] of PROGRAMS.entries()) t.match(results[index], { code: 0 }, line);
  });
}

function ifInstalled(line: string): string {
  return `command -v ${line.split(' ', 1)[0]} > /dev/null || exit 0; ${line}`;
}
