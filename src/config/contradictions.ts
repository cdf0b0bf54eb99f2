import { createPrivateKey } from 'node:crypto';
import { isLoopback } from './loopback.ts';
import type { Settings } from './settings.ts';

type Checked = Settings & { GITHUB_HOST: string; GITHUB_APP_PRIVATE_KEY?: string };

/** Returns a problem, with its remedy, for each contradiction between valid settings. */
export function findContradictions(config: Checked): string[] {
  const problems = githubContradictions(config);
  if (!isLoopback(config.HOST) && config.SANDBOX === 'none') {
    problems.push(
      `SANDBOX is "none", which is for loopback only, and HOST is ${JSON.stringify(config.HOST)}. Set SANDBOX=bubblewrap, or set HOST=127.0.0.1.`,
    );
  }
  if (config.RETAIN_AUDIT_DAYS > 0 && config.RETAIN_AUDIT_DAYS < 30) {
    problems.push(`RETAIN_AUDIT_DAYS is ${config.RETAIN_AUDIT_DAYS}. Set it to at least 30, or to 0 to keep all.`);
  }
  return problems;
}

function githubContradictions(config: Checked): string[] {
  const { GITHUB_TOKEN, GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY: key, GITHUB_HOST, ALLOWED_REPO_HOSTS } = config;
  const problems: string[] = [];
  if (GITHUB_APP_ID !== undefined && config.GITHUB_APP_PRIVATE_KEY_FILE === undefined) {
    problems.push('GITHUB_APP_ID is set and GITHUB_APP_PRIVATE_KEY_FILE is not. Set both, or none.');
  }
  if (GITHUB_APP_ID === undefined && config.GITHUB_APP_PRIVATE_KEY_FILE !== undefined) {
    problems.push('GITHUB_APP_PRIVATE_KEY_FILE is set and GITHUB_APP_ID is not. Set both, or none.');
  }
  if (GITHUB_APP_ID !== undefined && GITHUB_TOKEN !== undefined) {
    problems.push('GITHUB_APP_ID and GITHUB_TOKEN are both set. Keep one of them.');
  }
  if (key !== undefined && !isRsaKey(key)) {
    problems.push(
      'GITHUB_APP_PRIVATE_KEY_FILE contains no RSA private key in PEM. Use the file that GitHub generated.',
    );
  }
  if ((GITHUB_TOKEN ?? GITHUB_APP_ID) !== undefined && !ALLOWED_REPO_HOSTS.includes(GITHUB_HOST)) {
    problems.push(
      `GITHUB_HOST is ${JSON.stringify(GITHUB_HOST)}, which is not in ALLOWED_REPO_HOSTS. Set it to the host of the token or the app.`,
    );
  }
  return problems;
}

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}
