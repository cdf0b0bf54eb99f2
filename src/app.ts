import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { LogController } from 'fastify';
import type { Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import admin from '../plugins/admin/index.ts';
import agents from '../plugins/agents/index.ts';
import auditLog from '../plugins/audit-log.ts';
import auth from '../plugins/auth.ts';
import command from '../plugins/command/index.ts';
import config from '../plugins/config.ts';
import { answerConnectionError } from '../plugins/connection-errors.ts';
import cors from '../plugins/cors.ts';
import dashboard from '../plugins/dashboard/index.ts';
import disk from '../plugins/disk.ts';
import events from '../plugins/events/index.ts';
import feed from '../plugins/feed.ts';
import github from '../plugins/github.ts';
import health from '../plugins/health/index.ts';
import hostCheck from '../plugins/host-check.ts';
import housekeeping from '../plugins/housekeeping/index.ts';
import httpRules, { originForm } from '../plugins/http-rules.ts';
import idempotency from '../plugins/idempotency.ts';
import lifecycle from '../plugins/lifecycle.ts';
import methods from '../plugins/methods.ts';
import metrics from '../plugins/metrics/index.ts';
import metricsRoutes from '../plugins/metrics/routes.ts';
import openapi from '../plugins/openapi.ts';
import permissions from '../plugins/permissions/index.ts';
import plans from '../plugins/plans/index.ts';
import problem, { sendProblem } from '../plugins/problem.ts';
import rateLimit from '../plugins/rate-limit.ts';
import redaction from '../plugins/redaction.ts';
import repositoryLimits from '../plugins/repository-limits.ts';
import requestLimits from '../plugins/request-limits.ts';
import runs from '../plugins/runs/index.ts';
import sandbox from '../plugins/sandbox.ts';
import securityHeaders from '../plugins/security-headers.ts';
import session from '../plugins/session.ts';
import sse from '../plugins/sse.ts';
import store from '../plugins/store.ts';
import tickets from '../plugins/tickets/index.ts';
import tracing from '../plugins/tracing.ts';
import usage from '../plugins/usage.ts';
import validation from '../plugins/validation.ts';
import workspaces from '../plugins/workspaces.ts';
import type { AgentDefinition } from './agents/agent-definition.ts';
import type { Config } from './config/load-config.ts';
import { AppError } from './errors/app-error.ts';
import type { Redactor } from './redaction/redactor.ts';

export type AppOptions = {
  config: Config;
  /** Environment that git and gh take proxies, certificates and the operator's git settings from. */
  parentEnv: Readonly<Record<string, string | undefined>>;
  logger: Logger;
  /** What the logger uses, too. */
  redactor: Redactor;
  /** Agents to offer instead of the usual. */
  agents?: readonly AgentDefinition[];
};

/**
 * How long a client may take, in milliseconds: for a whole request, for its headers (from the connection on), and between
 * two requests. Node looks after them every so often. Answers may take as long as they need.
 */
const PATIENCE = { request: 30_000, headers: 15_000, idle: 75_000, lookEvery: 5_000 };

/**
 * Builds the server: each capability is a plugin, and this list is the order in which they boot.
 * @returns the application, not yet listening
 * @throws what keeps a plugin from booting, such as a store that cannot be opened
 */
export async function buildApp(options: AppOptions) {
  const { name, version } = packageJson;
  const app = Fastify({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 1_048_576,
    requestTimeout: PATIENCE.request,
    keepAliveTimeout: PATIENCE.idle,
    http: {
      headersTimeout: PATIENCE.headers,
      connectionsCheckingInterval: PATIENCE.lookEvery,
      maxHeaderSize: 16_384,
      requireHostHeader: false,
    },
    // An empty list would have each request's headers looked through for proxies.
    trustProxy: options.config.TRUST_PROXY.length > 0 && [...options.config.TRUST_PROXY],
    clientErrorHandler: answerConnectionError,
    rewriteUrl: ({ url = '/' }) => originForm(url),
    forceCloseConnections: 'idle',
    // The lifecycle plugin refuses them with a problem.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, request, reply) =>
      void sendProblem(new AppError('invalid_request', 'The URL is not valid.', { cause: error }), request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  await app.register(config, options);
  await app.register(redaction, options);
  await app.register(lifecycle);
  await app.register(store);
  await app.register(problem);

  // The door: what a request passes before its route sees it, in this order.
  await app.register(securityHeaders);
  await app.register(httpRules);
  await app.register(cors);
  await app.register(rateLimit);
  await app.register(hostCheck);
  await app.register(requestLimits);
  await app.register(auth);
  await app.register(methods);
  await app.register(auditLog);
  await app.register(disk);
  await app.register(validation);
  await app.register(repositoryLimits);
  await app.register(idempotency);

  await app.register(metrics, { version });
  await app.register(tracing, { version });
  await app.register(openapi, { version });
  await app.register(github);
  await app.register(sandbox);
  await app.register(workspaces);
  await app.register(agents, { definitions: options.agents });
  await app.register(tickets);
  await app.register(plans);
  await app.register(permissions);
  await app.register(runs);
  await app.register(sse);
  await app.register(events);
  await app.register(feed);
  await app.register(command);
  await app.register(usage);
  await app.register(admin);
  await app.register(session);
  await app.register(dashboard);
  await app.register(housekeeping);
  await app.register(health, { name, version });
  await app.register(metricsRoutes);

  return app;
}
