import { fileURLToPath } from 'node:url';
import { type Order, promptOf } from './agent-definition.ts';
import { call } from './clients.ts';
import type { Lab, Server } from './lab.ts';

export const SAMPLE = fileURLToPath(new URL('../standins/sample', import.meta.url));

/** A server with the agent of the bench and one ticket. */
export async function serverWithTicket(lab: Lab, settings: Record<string, string> = {}): Promise<Server> {
  const { github, env } = await lab.standIns();
  await github.addRepository('acme/duration', { from: SAMPLE });
  const server = await lab.serverWithAgent({ ...lab.settings(), ...env, ...settings });
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: 'T-1', repo_url: 'https://github.com/acme/duration' });
  return server;
}

/** Starts a run in which the agent carries out an order; gives the URL of its events. */
export async function startRun(server: Server, order: Order, ticketId = 'T-1'): Promise<string> {
  const message = promptOf(order);
  const { body } = await call(server.url, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message });
  return `${server.url}/v1/runs/${body.run_id}/events`;
}
