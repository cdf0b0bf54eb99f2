import { fileURLToPath } from 'node:url';
import { type RepoRef, remoteUrl } from './repo-url.ts';

const ASKPASS = fileURLToPath(new URL('askpass.sh', import.meta.url));

/** Environment variables of one git command that connects to a remote. */
export type Credentials = { env: Record<string, string>; hasToken: boolean };

/**
 * Prepares credentials for the hosts of remotes.
 * @param token returns the token for a host, if any
 * @param resolveUrl returns the address that git uses for a URL, after the operator's rewrites
 * @returns creates the credentials of one command. Without a token, git can read public repositories only
 */
export function createCredentials(
  token: (host: string) => Promise<string | undefined>,
  resolveUrl: (url: string) => Promise<string>,
): (repo: RepoRef) => Promise<Credentials> {
  const addresses = new Map<string, URL | null>();

  async function addressOf(url: string): Promise<URL | null> {
    const known = addresses.get(url);
    if (known !== undefined) return known;
    const address = URL.parse(await resolveUrl(url));
    addresses.set(url, address);
    return address;
  }

  return async (repo): Promise<Credentials> => {
    const secret = await token(repo.host);
    const address = secret === undefined ? null : await addressOf(remoteUrl(repo));
    if (secret === undefined || !address) return { env: {}, hasToken: false };
    return {
      env: { GIT_ASKPASS: ASKPASS, PULLWRIGHT_GIT_ORIGIN: address.origin, PULLWRIGHT_GIT_TOKEN: secret },
      hasToken: true,
    };
  };
}
