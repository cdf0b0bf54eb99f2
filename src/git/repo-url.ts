import { AppError } from '../errors/app-error.ts';

/** A repository on an allowed host. `url` is its normalized URL, `https://HOST/OWNER/NAME`. */
export type RepoRef = { host: string; owner: string; name: string; url: string };

const HTTPS = /^https:\/\/(?<host>[A-Za-z0-9.-]{1,253})\/(?<owner>[^/]+)\/(?<name>[^/]+)\/?$/;
const SSH = /^git@(?<host>[A-Za-z0-9.-]{1,253}):(?<owner>[^/]+)\/(?<name>[^/]+)\/?$/;
const OWNER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;
const NAME = /^[A-Za-z0-9._][A-Za-z0-9._-]{0,99}$/;

/**
 * Parses the repository URL of a client. The result is built from the matched parts, so no other text reaches git: no
 * credentials, ports, queries, options or other transports.
 * @param value `https://HOST/OWNER/NAME` or `git@HOST:OWNER/NAME`, each with an optional `.git` and trailing slash
 * @param allowedHosts host names in lower case
 * @throws AppError `repo_url_invalid`, without the text, which may contain a password
 */
export function parseRepoUrl(value: string, allowedHosts: readonly string[]): RepoRef {
  const parts = (HTTPS.exec(value) ?? SSH.exec(value))?.groups;
  if (!parts) {
    throw invalid('The repository URL is not of the form https://HOST/OWNER/REPO or git@HOST:OWNER/REPO.');
  }
  const { host = '', owner = '', name: lastPart = '' } = parts;
  const hostName = host.toLowerCase();
  if (!allowedHosts.includes(hostName)) {
    throw invalid(`Repositories on ${hostName} are not allowed. Allowed hosts: ${allowedHosts.join(', ')}.`);
  }
  if (!OWNER.test(owner)) throw invalid('The owner in the repository URL is not a valid name.');

  const name = lastPart.replace(/\.git$/, '');
  if (!NAME.test(name) || name === '.' || name === '..' || /\.git$/i.test(name)) {
    throw invalid('The repository name in the URL is not a valid name.');
  }
  return { host: hostName, owner, name, url: `https://${hostName}/${owner}/${name}` };
}

/** Returns the URL for git. It ends with `.git`, since GitLab redirects the short form and git follows no redirects. */
export function remoteUrl(repo: RepoRef): string {
  return `${repo.url}.git`;
}

function invalid(detail: string): AppError {
  return new AppError('repo_url_invalid', detail);
}
