import { Type } from '@sinclair/typebox';
import { count, decoded, flag, limit, SettingError, text } from './kinds.ts';

export const runSettings = {
  MAX_CONCURRENT_RUNS: count(4, 1, 1000, 'Runs that are active at the same time.'),
  MAX_QUEUED_RUNS: count(100, 1, 100_000, 'Runs that can wait in the queue. A further run gets 429.'),
  RUN_TIMEOUT_SECONDS: count(3600, 5, 86_400, 'Time limit of a run, for all its attempts together.'),
  RUN_MAX_ATTEMPTS: count(
    3,
    1,
    100,
    'Number of attempts at a run when the server or the agent stops during it; 1: no second attempt.',
  ),
  MAX_TURNS_PER_RUN: limit(1_000_000, 'Calls to the model after which the server stops a run; no limit by default.'),
  REQUIRE_PLAN_APPROVAL: flag(false, 'Whether `dev` requires an approved plan.'),
  VERIFY_COMMAND: Type.Optional(
    decoded(
      text(
        'Command that must succeed in the workspace before `dev` commits, as a JSON array such as ["npm","test"]. If it fails, the agent gets its output to fix the cause.',
      ),
      parseCommand,
    ),
  ),
  VERIFY_ATTEMPTS: count(3, 1, 20, 'How many times the check command is run.'),
};

function parseCommand(value: string): readonly [string, ...string[]] {
  try {
    const parsed: unknown = JSON.parse(value);
    if (Array.isArray(parsed) && parsed.every((part) => typeof part === 'string')) {
      const [program, ...args] = parsed;
      if (program) return [program, ...args];
    }
  } catch {
    // The error below has the right remedy.
  }
  throw new SettingError('is not a JSON array of strings. Write it like ["npm","test"].');
}
