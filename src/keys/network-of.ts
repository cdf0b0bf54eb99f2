/**
 * Who an address is counted as: for IPv6 its network of 64 bits, of which a single client may have all addresses
 * (RFC 6177), and for an IPv4 address that is written as IPv6 the address itself (RFC 4291 §2.5.5.2).
 */
export function networkOf(address: string | undefined): string {
  // Who has broken off the connection has none any more; they count as one.
  if (address === undefined) return '';
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail = ''] = address.split('::');
  const before = head.split(':').filter(Boolean);
  const after = tail.split(':').filter(Boolean);
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0');
  const groups = [...before, ...zeros, ...after].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::`;
}
