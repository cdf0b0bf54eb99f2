import { AppError } from '../errors/app-error.ts';

/** A repository on an allowed host. `url` is `https://HOST/OWNER/NAME`: the same text for every way to write it. */
export type RepoRef = { host: string; owner: string; name: string; url: string };

const HTTPS = /^https:\/\/(?<host>[A-Za-z0-9.-]{1,253})\/(?<owner>[^/]+)\/(?<name>[^/]+)\/?$/;
const SSH = /^git@(?<host>[A-Za-z0-9.-]{1,253}):(?<owner>[^/]+)\/(?<name>[^/]+)\/?$/;
const OWNER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;
const NAME = /^[A-Za-z0-9._][A-Za-z0-9._-]{0,99}$/;

/**
 * Reads a client's repository URL. Only what these patterns spell out gets through, and the result is built anew from
 * the parts, so nothing else of the text reaches git: no credentials, ports, queries, options or other transports.
 * @param value `https://HOST/OWNER/NAME` or `git@HOST:OWNER/NAME`, each with an optional `.git` and trailing slash
 * @param allowedHosts host names in lower case
 * @throws AppError `repo_url_invalid`; the text itself is not repeated, as it may hold a password
 */
export function parseRepoUrl(value: string, allowedHosts: readonly string[]): RepoRef {
  const parts = (HTTPS.exec(value) ?? SSH.exec(value))?.groups;
  if (!parts) {
    throw invalid('The repository URL is not of the form https://HOST/OWNER/REPO or git@HOST:OWNER/REPO.');
  }
  const { host = '', owner = '', name: lastPart = '' } = parts;
  const hostName = host.toLowerCase();
  if (!allowedHosts.includes(hostName)) {
    throw invalid(`Repositories on ${hostName} are not allowed; allowed are those on ${allowedHosts.join(', ')}.`);
  }
  if (!OWNER.test(owner)) throw invalid('The owner in the repository URL is not a valid name.');

  const name = lastPart.replace(/\.git$/, '');
  if (!NAME.test(name) || name === '.' || name === '..' || /\.git$/i.test(name)) {
    throw invalid('The repository name in the URL is not a valid name.');
  }
  return { host: hostName, owner, name, url: `https://${hostName}/${owner}/${name}` };
}

/** The address git is given. With `.git`, since GitLab redirects the short form and redirects are not followed. */
export function remoteUrl(repo: RepoRef): string {
  return `${repo.url}.git`;
}

function invalid(detail: string): AppError {
  return new AppError('repo_url_invalid', detail);
}
