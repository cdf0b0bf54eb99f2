import { fileURLToPath } from 'node:url';
import { type AgentTask, promptOf } from './agent-definition.ts';
import { call } from './clients.ts';
import type { Lab, Server } from './lab.ts';

export const SAMPLE = fileURLToPath(new URL('../standins/sample', import.meta.url));

/** Starts a server with the benchmark agent and creates one ticket. */
export async function serverWithTicket(lab: Lab, settings: Record<string, string> = {}): Promise<Server> {
  const { github, env } = await lab.standIns();
  await github.addRepository('acme/duration', { from: SAMPLE });
  const server = await lab.serverWithAgent({ ...lab.settings(), ...env, ...settings });
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: 'T-1', repo_url: 'https://github.com/acme/duration' });
  return server;
}

/** Starts a run in which the agent performs a task, and returns the URL of its events. */
export async function startRun(server: Server, task: AgentTask, ticketId = 'T-1'): Promise<string> {
  const message = promptOf(task);
  const { body } = await call(server.url, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message });
  return `${server.url}/v1/runs/${body.run_id}/events`;
}
