import type { Config } from '../../config/load-config.ts';

/** Result of a check; `remedy` describes the fix. */
export type Finding = { status: 'ok' | 'warn' | 'fail'; detail: string; remedy?: string };
export type Check = { name: string; run(): Promise<Finding> };

export type CheckContext = { config: Config; env: Readonly<Record<string, string | undefined>>; repo?: string };

export const ok = (detail: string): Finding => ({ status: 'ok', detail });
export const warn = (detail: string, remedy: string): Finding => ({ status: 'warn', detail, remedy });
export const fail = (detail: string, remedy: string): Finding => ({ status: 'fail', detail, remedy });

/** Runs a check; an error of the check itself counts as a failure. */
export async function runCheck({ name, run }: Check): Promise<Finding & { name: string }> {
  try {
    return { name, ...(await run()) };
  } catch (error) {
    const remedy = isWithRemedy(error) ? error.remedy : 'See the detail.';
    return { name, ...fail(error instanceof Error ? error.message : String(error), remedy) };
  }
}

function isWithRemedy(error: unknown): error is { remedy: string } {
  return typeof error === 'object' && error !== null && 'remedy' in error && typeof error.remedy === 'string';
}
