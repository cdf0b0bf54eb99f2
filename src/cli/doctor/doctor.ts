import { ConfigError, loadConfig } from '../../config/load-config.ts';
import { EXIT } from '../command-error.ts';
import { createTerminal, type Terminal } from '../terminal.ts';
import { type Check, type Finding, fail, runCheck } from './check.ts';
import { githubChecks } from './github.ts';
import { machineChecks } from './machine.ts';
import { modelChecks } from './model.ts';
import { programChecks } from './programs.ts';

const COLORS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

/** Checks all that runs need and prints a fix for each problem. Sets exit code 1 when a check fails. */
export async function doctor({ repo, json }: { repo?: string; json: boolean }): Promise<void> {
  const terminal = createTerminal();
  const findings: (Finding & { name: string })[] = [];
  for (const check of checks(repo)) {
    terminal.progress(`Checking ${check.name}`);
    const finding = await runCheck(check);
    findings.push(finding);
    if (!json) print(terminal, finding);
  }
  const isOk = findings.every(({ status }) => status !== 'fail');
  if (json) terminal.json({ ok: isOk, checks: findings });
  if (!isOk) process.exitCode = EXIT.failed;
}

function checks(repo: string | undefined): Check[] {
  try {
    const config = loadConfig(process.env);
    const context = { config, env: process.env, repo };
    return [...programChecks(), ...machineChecks(context), ...modelChecks(context), ...githubChecks(context)];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { message } = error;
    // Other checks need the settings.
    return [...programChecks(), { name: 'settings', run: async () => fail(message, 'Correct them in .env.') }];
  }
}

function print(terminal: Terminal, { name, status, detail, remedy }: Finding & { name: string }): void {
  terminal.colored(COLORS[status], `${status.padEnd(5)} ${name}: ${detail}`);
  if (remedy !== undefined) terminal.print(`      fix: ${remedy}`);
}
