import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { readSeccompFilter } from '../../src/sandbox/seccomp/filter.ts';
import { ERRNO } from '../../src/sandbox/seccomp/rules.ts';
import { ARCHITECTURES, NEWEST_CALL, numberOf, SYSCALLS } from '../../src/sandbox/seccomp/syscalls.ts';
import { judge } from './filter-machine.ts';
import { programOf32Bits, programOf64Bits } from './old-call.ts';
import { CALLS, type CallCase, perlProgram } from './system-calls.ts';
import { USERS } from './users.ts';

const NAMES = Object.keys(SYSCALLS).filter((name): name is keyof typeof SYSCALLS => name in SYSCALLS);
const SECCOMP_OPTION = '--seccomp\x004\0';
const NO_PERL = existsSync('/usr/bin/perl') ? false : 'perl is missing, which makes the calls';
const X32_BIT = 0x40000000;
/** Exit code of a shell whose program was killed by the filter: 128 and the number of SIGSYS. */
const KILLED_BY_FILTER = 159;

const title = ({ call, args }: CallCase) => `${call}(${args.map((arg) => JSON.stringify(String(arg))).join(', ')})`;

for (const architecture of ['x64', 'arm64'] as const) {
  t.test(`the filter for ${architecture} returns the verdict of the table for each call`, async (t) => {
    const filter = await readSeccompFilter(architecture);
    const { audit } = ARCHITECTURES[architecture];
    const other = ARCHITECTURES[architecture === 'x64' ? 'arm64' : 'x64'].audit;
    for (const item of CALLS) {
      const number = numberOf(item.call, architecture);
      if (number === null) continue;
      const args = item.args.map((arg) => (typeof arg === 'string' ? 0x7f00_0000_1000n : BigInt(arg)));
      const expected = item.answer === undefined ? 'allow' : { errno: ERRNO[item.answer] };
      t.same(judge(filter, { architecture: audit, number, args }), expected, title(item));
      t.same(judge(filter, { architecture: audit, number: number + X32_BIT, args }), { errno: ERRNO.ENOSYS }, 'x32');
      t.equal(judge(filter, { architecture: other, number, args }), 'kill', 'a call of another architecture');
      t.equal(judge(filter, { architecture: 0x40000003, number, args }), 'kill', 'a call of i386');
    }
    const named = new Set(NAMES.map((name) => numberOf(name, architecture)));
    for (let number = 0; number <= NEWEST_CALL; number += 1) {
      const verdict = judge(filter, { architecture: audit, number, args: [-1n, -1n, -1n, -1n, -1n, -1n] });
      if (!named.has(number)) t.equal(verdict, 'allow', `call ${number} without a rule`);
    }
    for (const number of [NEWEST_CALL + 1, 512, 547, 0xffffffff]) {
      const verdict = judge(filter, { architecture: audit, number, args: [] });
      t.same(verdict, { errno: ERRNO.ENOSYS }, `call ${number}, newer than the rules`);
    }
  });
}

t.test('the table has a denied case for every call that the rules name', async (t) => {
  const tried = new Set(CALLS.filter(({ answer }) => answer !== undefined).map(({ call }) => call));
  t.same(
    NAMES.filter((name) => !tried.has(name)),
    [],
  );
});

for (const [architecture, file] of [
  ['x64', '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'],
  ['arm64', '/usr/include/asm-generic/unistd.h'],
] as const) {
  const skip = existsSync(file) ? false : 'the headers of the kernel are not installed';
  t.test(`the call numbers for ${architecture} match the kernel's header`, { skip }, async (t) => {
    const text = readFileSync(file, 'utf8');
    for (const name of NAMES) {
      const number = new RegExp(`^#define __NR_${name} (\\d+)$`, 'm').exec(text)?.[1];
      if (number !== undefined) t.equal(numberOf(name, architecture), Number(number), name);
    }
  });
}

t.test('`readSeccompFilter` fails with agent_unavailable when the architecture has no filter', async (t) => {
  await t.rejects(readSeccompFilter('riscv64'), { code: 'agent_unavailable', remedy: /x86-64 or arm64/ });
});

for (const { name, skip, run } of USERS) {
  t.test(
    `the kernel applies the table to programs in a sandbox of the user ${name}`,
    { skip: skip || NO_PERL },
    async (t) => {
      const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
      const commands = [['perl', '-e', perlProgram(CALLS, architecture)]] as const;
      const [filtered] = await run({ commands });
      const [unfiltered] = await run({ commands, without: [SECCOMP_OPTION] });
      const answers = parse(filtered?.output);
      const kernel = parse(unfiltered?.output);
      for (const [index, item] of CALLS.entries()) {
        if (numberOf(item.call, architecture) === null) continue;
        const errno = answers.get(index);
        if (item.answer === undefined) {
          t.equal(errno, kernel.get(index), `${title(item)} passes to the kernel`);
          continue;
        }
        t.equal(errno, ERRNO[item.answer], title(item));
        if (item.withoutFilter === undefined) t.not(kernel.get(index), errno, `${title(item)} without the filter`);
      }
    },
  );

  t.test(`the filter kills a program of the user ${name} at an i386 call`, { skip: skip || notX64() }, async (t) => {
    const programs = { 'bits-64': programOf64Bits(), 'bits-32': programOf32Bits() };
    const commands = [
      ['sh', '-c', './bits-64'],
      ['sh', '-c', './bits-32'],
    ] as const;
    for (const { code } of await run({ commands, programs })) t.equal(code, KILLED_BY_FILTER);
    const unfiltered = await run({ commands, programs, without: [SECCOMP_OPTION] });
    for (const { code } of unfiltered) t.not(code, KILLED_BY_FILTER, 'the program survives without the filter');
  });
}

function parse(output = ''): Map<number, number> {
  const lines = output.split('\n').filter((line) => /^\d+ \d+$/.test(line));
  return new Map(lines.map((line) => line.split(' ').map(Number)).map(([index = -1, errno = -1]) => [index, errno]));
}

function notX64(): false | string {
  return process.arch === 'x64' ? false : 'the machine code is for x86';
}
