import type { Config } from '../../config/load-config.ts';

/** What one look at the machine found; `remedy` is what mends it. */
export type Finding = { status: 'ok' | 'warn' | 'fail'; detail: string; remedy?: string };
export type Check = { name: string; run(): Promise<Finding> };

export type CheckContext = { config: Config; env: Readonly<Record<string, string | undefined>>; repo?: string };

export const ok = (detail: string): Finding => ({ status: 'ok', detail });
export const warn = (detail: string, remedy: string): Finding => ({ status: 'warn', detail, remedy });
export const fail = (detail: string, remedy: string): Finding => ({ status: 'fail', detail, remedy });

/** A check that could not be made counts as one that failed. */
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
