import { AppError } from '../errors/app-error.ts';
import type { RunResult } from '../sandbox/processes/run-process.ts';
import { takeTurn } from './agent-turn.ts';
import { verifyFailedPrompt } from './prompts.ts';
import type { ActionDeps, RunContext } from './run-context.ts';

const MAX_OUTPUT_BYTES = 16_384;

/**
 * Runs the check command in the workspace. After a failure, prompts the agent to fix the cause and runs the command again.
 * @throws AppError `verify_failed` after VERIFY_ATTEMPTS failures; the work stays in the workspace
 */
export async function verify(deps: ActionDeps, { run, writer, signal }: RunContext): Promise<void> {
  const { VERIFY_COMMAND: command, VERIFY_ATTEMPTS: attempts, RUN_TIMEOUT_SECONDS } = deps.config;
  if (command === undefined) return;
  const { workspace, gitDir, mirror } = await deps.workspaces.paths(run.ticket_id);
  await writer.step('verify', async () => {
    for (let attempt = 1; ; attempt++) {
      const check = await deps.sandbox.run({
        argv: command,
        env: {},
        workspace,
        writable: true,
        git: { dir: gitDir, mirror },
        timeoutMs: RUN_TIMEOUT_SECONDS * 1000,
        maxOutputBytes: MAX_OUTPUT_BYTES,
        signal,
        onDenied: (text) => writer.emit({ type: 'log', data: { level: 'warn', text } }),
      });
      if (check.code === 0) return;
      writer.emit({ type: 'log', data: { level: 'warn', text: check.output } });
      if (attempt >= attempts) {
        throw new AppError(
          'verify_failed',
          `The check command ${describeFailure(check)} ${attempt} times. The work is kept in the workspace.`,
        );
      }
      const prompt = () => verifyFailedPrompt(command, check.code, check.output);
      await takeTurn(deps, { run, mode: 'write', prompt, writer, signal });
    }
  });
}

function describeFailure({ code, timedOut, outOfMemory }: RunResult): string {
  if (timedOut) return 'took too long';
  return outOfMemory ? 'ran out of memory' : `failed with exit code ${code}`;
}
