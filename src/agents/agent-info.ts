import type { AgentInfo } from '../../schemas/agent.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { AgentDefinition, AgentSettings } from './agent-definition.ts';

/** Describes an agent for `GET /v1/agents`, with the reason why it cannot work, if any. Starts no process. */
export async function describeAgent(
  definition: AgentDefinition,
  config: AgentSettings & { AGENT: string },
  sandbox: Pick<Sandbox, 'check' | 'kind'>,
): Promise<AgentInfo> {
  const { name, title } = definition;
  const version = installedVersion(definition);
  const found = { name, title, default: name === config.AGENT, sandbox: sandbox.kind };
  const info = version === undefined ? found : { ...found, version };
  const sandboxCheck = await sandbox.check();
  const problem = sandboxCheck.ok ? await definition.check(config) : sandboxCheck;
  if (!problem) return { ...info, healthy: true };
  const detail = 'detail' in problem ? problem.detail : problem.message;
  return { ...info, healthy: false, detail, remedy: problem.remedy };
}

function installedVersion(definition: AgentDefinition): string | undefined {
  try {
    return definition.version();
  } catch {
    // `check` reports it.
    return undefined;
  }
}
