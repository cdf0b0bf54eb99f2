import { AppError } from '../errors/app-error.ts';
import type { RunResult } from '../sandbox/processes/run-process.ts';
import { takeTurn } from './agent-turn.ts';
import { verifyFailedPrompt } from './prompts.ts';
import type { ActionDeps, RunContext } from './run-context.ts';

const OUTPUT_CHARACTERS = 16_384;

/**
 * Runs the operator's check command in the workspace; what it complains of is given back to the agent.
 * @throws AppError `verify_failed` when the last try fails too; the work stays in the workspace
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
        maxOutputBytes: OUTPUT_CHARACTERS,
        signal,
        onDenied: (text) => writer.emit({ type: 'log', data: { level: 'warn', text } }),
      });
      if (check.code === 0) return;
      writer.emit({ type: 'log', data: { level: 'warn', text: check.output } });
      const said = describeFailure(check);
      if (attempt >= attempts) {
        throw new AppError(
          'verify_failed',
          `The check command ${said} ${attempt} times. The work is kept in the workspace.`,
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
