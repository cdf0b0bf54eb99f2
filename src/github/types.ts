import type { Config } from '../config/load-config.ts';

/** The settings whose names start with `GITHUB_`. */
export type GitHubConfig = Pick<Config, keyof Config & `GITHUB_${string}`>;

/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Returns the token for a host, or undefined when there is none. */
export type TokenSource = (host: string) => Promise<string | undefined>;
