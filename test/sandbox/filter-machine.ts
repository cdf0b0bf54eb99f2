/** The input of a filter: `struct seccomp_data` of the kernel. */
export type CallData = { architecture: number; number: number; args: readonly bigint[] };

export type Verdict = 'allow' | 'kill' | { errno: number };

/**
 * Runs a seccomp filter on a call, as the kernel does. Accepts filters of other architectures.
 * @throws when the filter is malformed
 */
export function judge(filter: Uint8Array, { architecture, number, args }: CallData): Verdict {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, architecture, true);
  args.forEach((arg, index) => {
    data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, arg), true);
  });
  const program = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  let register = 0;
  for (let at = 0; at < program.byteLength; at += 8) {
    const k = program.getUint32(at + 4, true);
    const jump = (isTaken: boolean) => {
      at += 8 * program.getUint8(at + (isTaken ? 2 : 3));
    };
    switch (program.getUint16(at, true)) {
      case 0x20:
        register = data.getUint32(k, true);
        break;
      case 0x54:
        register = (register & k) >>> 0;
        break;
      case 0x15:
        jump(register === k);
        break;
      case 0x25:
        jump(register > k);
        break;
      case 0x45:
        jump((register & k) !== 0);
        break;
      case 0x06:
        return verdict(k);
      default:
        throw new Error(`The filter has an unknown instruction at ${at}.`);
    }
  }
  throw new Error('The filter has no end.');
}

function verdict(k: number): Verdict {
  if (k === 0x7fff0000) return 'allow';
  if (k === 0x80000000) return 'kill';
  if (k >>> 16 === 5) return { errno: k & 0xffff };
  throw new Error(`The filter returns ${k}.`);
}
