/**
 * Machine code that requests the id of its session keyring with `int 0x80`, as i386 programs do, and exits with 0 on
 * success. The bytes mean the same in 32-bit and 64-bit mode.
 */
const CODE = [
  ...[0xb8, 0x20, 0x01, 0x00, 0x00], // mov eax, 288: keyctl
  ...[0x31, 0xdb], // xor ebx, ebx: KEYCTL_GET_KEYRING_ID
  ...[0xb9, 0xfd, 0xff, 0xff, 0xff], // mov ecx, -3: KEY_SPEC_SESSION_KEYRING
  ...[0x31, 0xd2], // xor edx, edx
  ...[0xcd, 0x80], // int 0x80
  ...[0x89, 0xc3], // mov ebx, eax
  ...[0xc1, 0xeb, 0x1f], // shr ebx, 31: 1 for an error
  ...[0xb8, 0x01, 0x00, 0x00, 0x00], // mov eax, 1: exit
  ...[0xcd, 0x80], // int 0x80
];

const ADDRESS = 0x400000;
const [ET_EXEC, EM_386, EM_X86_64, PT_LOAD, READ_AND_EXECUTE] = [2, 3, 62, 1, 5];

/** Returns a static x86-64 program, in base64. */
export function programOf64Bits(): string {
  const head = 64 + 56;
  return elf(2, [
    ...[short(ET_EXEC), short(EM_X86_64), word(1), long(ADDRESS + head), long(64), long(0), word(0)],
    ...[short(64), short(56), short(1), short(0), short(0), short(0)],
    ...[word(PT_LOAD), word(READ_AND_EXECUTE), long(0), long(ADDRESS), long(ADDRESS)],
    ...[long(head + CODE.length), long(head + CODE.length), long(0x1000)],
  ]);
}

/** Returns a static i386 program, in base64. */
export function programOf32Bits(): string {
  const head = 52 + 32;
  return elf(1, [
    ...[short(ET_EXEC), short(EM_386), word(1), word(ADDRESS + head), word(52), word(0), word(0)],
    ...[short(52), short(32), short(1), short(0), short(0), short(0)],
    ...[word(PT_LOAD), word(0), word(ADDRESS), word(ADDRESS)],
    ...[word(head + CODE.length), word(head + CODE.length), word(READ_AND_EXECUTE), word(0x1000)],
  ]);
}

function elf(wordSize: 1 | 2, header: readonly Buffer[]): string {
  const ident = Buffer.from([0x7f, 0x45, 0x4c, 0x46, wordSize, 1, 1, ...Buffer.alloc(9)]);
  return Buffer.concat([ident, ...header, Buffer.from(CODE)]).toString('base64');
}

function short(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
