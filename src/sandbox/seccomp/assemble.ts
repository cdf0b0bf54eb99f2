import { type Condition, ERRNO, type Rule } from './rules.ts';
import { ARCHITECTURES, type Architecture, NEWEST_CALL, numberOf } from './syscalls.ts';

/** An instruction of classic BPF. Jumps are numbers of instructions to skip. */
type Instruction = { code: number; k: number; ifTrue?: number; ifFalse?: number };

/** Instruction codes of include/uapi/linux/bpf_common.h; all use the accumulator. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_GREATER = 0x25;
const JUMP_IF_ANY_BIT = 0x45;
const RETURN = 0x06;

/** Return values of include/uapi/linux/seccomp.h. */
const KILL_PROCESS = 0x80000000;
const ALLOW = 0x7fff0000;
const ANSWER = 0x00050000;

/** Offsets in `struct seccomp_data`, little endian. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const lowHalf = (argument: number) => 16 + 8 * argument;
const highHalf = (argument: number) => lowHalf(argument) + 4;

const MAX_JUMP = 255;

/**
 * Assembles the filter of an architecture as `struct sock_filter[]` of seccomp(2), little endian.
 *
 * A call of another architecture (`int 0x80` on x86-64) kills the process, because its number means another call. Calls newer
 * than the rules return ENOSYS. So do x32 calls, whose numbers have a high bit set.
 */
export function assemble(rules: readonly Rule[], architecture: Architecture): Uint8Array {
  return encode([
    { code: LOAD, k: ARCHITECTURE },
    { code: JUMP_IF_EQUAL, k: ARCHITECTURES[architecture].audit, ifTrue: 1 },
    { code: RETURN, k: KILL_PROCESS },
    { code: LOAD, k: NUMBER },
    { code: JUMP_IF_GREATER, k: NEWEST_CALL, ifFalse: 1 },
    answer('ENOSYS'),
    ...callsOf(rules).flatMap((call) => {
      const number = numberOf(call, architecture);
      if (number === null) return [];
      const verdict = verdictOn(rules.filter(({ calls }) => calls.includes(call)));
      return [{ code: JUMP_IF_EQUAL, k: number, ifFalse: verdict.length }, ...verdict];
    }),
    { code: RETURN, k: ALLOW },
  ]);
}

/** Lists the calls in the order in which the rules name them. */
function callsOf(rules: readonly Rule[]) {
  return [...new Set(rules.flatMap(({ calls }) => calls))];
}

/** Returns the answer of the first matching rule, or allows the call. */
function verdictOn(rules: readonly Rule[]): Instruction[] {
  const verdict = rules.flatMap((rule) =>
    (rule.when ?? []).reduceRight((body, condition) => only(condition, body), [answer(rule.answer)]),
  );
  const isUnconditional = rules.some(({ when }) => when === undefined);
  return isUnconditional ? verdict : [...verdict, { code: RETURN, k: ALLOW }];
}

/** Runs the body when the condition holds, and skips it otherwise. */
function only(condition: Condition, body: Instruction[]): Instruction[] {
  const skip = body.length;
  const load = { code: LOAD, k: lowHalf(condition.argument) };
  if ('bits' in condition) return [load, { code: JUMP_IF_ANY_BIT, k: condition.bits, ifFalse: skip }, ...body];
  if ('outside' in condition) {
    return [
      { code: LOAD, k: highHalf(condition.argument) },
      { code: JUMP_IF_EQUAL, k: 0, ifFalse: 2 },
      load,
      { code: JUMP_IF_ANY_BIT, k: ~condition.outside >>> 0, ifFalse: skip },
      ...body,
    ];
  }
  const start = condition.mask === undefined ? [load] : [load, { code: AND, k: condition.mask }];
  if ('is' in condition) return [...start, ...compare(condition.is, 0, skip), ...body];
  return [...start, ...compare(condition.isNot, skip, 0), ...body];
}

/** Compares with each value in turn. Jumps count from the end of the last comparison. */
function compare(values: readonly number[], ifEqual: number, ifNone: number): Instruction[] {
  return values.map((k, index) => {
    const left = values.length - 1 - index;
    return { code: JUMP_IF_EQUAL, k, ifTrue: left + ifEqual, ...(left === 0 ? { ifFalse: ifNone } : {}) };
  });
}

function answer(name: Rule['answer']): Instruction {
  return { code: RETURN, k: ANSWER | ERRNO[name] };
}

/** Encodes `struct sock_filter { __u16 code; __u8 jt; __u8 jf; __u32 k; }`. */
function encode(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * program.length));
  program.forEach(({ code, k, ifTrue = 0, ifFalse = 0 }, index) => {
    if (Math.max(ifTrue, ifFalse) > MAX_JUMP) throw new RangeError('A jump of the filter is too long.');
    view.setUint16(8 * index, code, true);
    view.setUint8(8 * index + 2, ifTrue);
    view.setUint8(8 * index + 3, ifFalse);
    view.setUint32(8 * index + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}
