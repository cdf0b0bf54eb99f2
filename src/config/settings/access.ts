import { isIP } from 'node:net';
import { Type } from '@sinclair/typebox';
import { checkItem, count, list } from './kinds.ts';

export const accessSettings = {
  API_KEY: Type.Optional(
    Type.String({
      minLength: 16,
      description:
        'A key with all permissions. Clients send it as `X-API-Key` or `Authorization: Bearer`. `POST /v1/keys` creates further keys. Without any key, the server only starts on a loopback address.',
    }),
  ),
  ALLOWED_HOSTS: list(
    '',
    'Further host names that requests can have in `Host`, such as the public name behind a proxy.',
    (host) => host.toLowerCase(),
  ),
  CORS_ORIGINS: list(
    '',
    'Origins whose pages can call the API from a browser, such as https://tickets.example.org.',
    (origin) => {
      const valid = URL.canParse(origin) && new URL(origin).origin === origin;
      checkItem(valid, origin, 'not an origin', 'https://tickets.example.org');
      return origin;
    },
  ),
  TRUST_PROXY: list(
    '',
    'Proxies whose `X-Forwarded-For` is trusted: addresses and CIDR ranges. By default, all clients behind a proxy count as one address.',
    (range) => {
      checkItem(isAddressRange(range), range, 'not an address or a range', '127.0.0.1 or 10.0.0.0/8');
      return range;
    },
  ),
  RATE_LIMIT_PER_MINUTE: count(600, 1, 1_000_000, 'Requests without a key, per minute and client address.'),
  KEY_RATE_LIMIT_PER_MINUTE: count(600, 1, 1_000_000, 'Requests per minute and API key.'),
  AUTH_FAILURES_PER_MINUTE: count(
    10,
    1,
    1_000_000,
    'Requests with a wrong or missing key, per minute and client address. Further requests from the address get 429 until the minute is over, whatever key they have.',
  ),
  MAX_RUNS_PER_KEY: count(50, 1, 100_000, 'Unfinished runs per API key. A further run gets 429.'),
  MAX_STREAMS_PER_KEY: count(100, 1, 100_000, 'Open event streams per API key. A further stream gets 429.'),
};

/** Returns whether a text is an IP address, or a range of them in CIDR notation (RFC 4632). */
function isAddressRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const maxBits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  if (maxBits === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) > 0 && Number(bits) <= maxBits);
}
