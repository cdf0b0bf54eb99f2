/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Returns the token for a host, or undefined when there is none. */
export type TokenSource = (host: string) => Promise<string | undefined>;
