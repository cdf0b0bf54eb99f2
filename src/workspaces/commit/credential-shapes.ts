/** The shapes of credentials of well-known services. Only shapes with few false positives. */
export const CREDENTIAL_SHAPES: readonly (readonly [name: string, shape: RegExp])[] = [
  ['a private key', /-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----/],
  ['a GitHub token', /\b(?:gh[oprsu]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})\b/],
  ['an AWS access key', /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/],
  ['a Google API key', /\bAIza[A-Za-z0-9_-]{35}\b/],
  ['a model provider key', /\bsk-[A-Za-z0-9_-]{40,}/],
  ['a Slack token', /\bxox[abeoprs]-[A-Za-z0-9-]{20,}/],
];

/** The longest credential that is found when it is split between two pieces. */
const MAX_CREDENTIAL_CHARS = 300;

/** Searches a stream of bytes for these shapes. */
export function createShapeSearch(): { push(bytes: Buffer): void; found: Set<string> } {
  const found = new Set<string>();
  let end = '';
  return {
    found,
    push(bytes) {
      const text = end + bytes.toString('latin1');
      for (const [name, shape] of CREDENTIAL_SHAPES) if (!found.has(name) && shape.test(text)) found.add(name);
      end = text.slice(-MAX_CREDENTIAL_CHARS);
    },
  };
}
