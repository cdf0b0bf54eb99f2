import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { LogController } from 'fastify';
import type { Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import config from '../plugins/core/config.ts';
import { answerConnectionError } from '../plugins/core/connection-errors.ts';
import lifecycle from '../plugins/core/lifecycle.ts';
import metrics from '../plugins/core/metrics/metrics.ts';
import openapi from '../plugins/core/openapi/openapi.ts';
import problem, { sendProblem } from '../plugins/core/problem.ts';
import redaction from '../plugins/core/redaction.ts';
import sse from '../plugins/core/sse.ts';
import store from '../plugins/core/store.ts';
import tracing from '../plugins/core/tracing.ts';
import validation from '../plugins/core/validation.ts';
import auditLog from '../plugins/hooks/audit-log.ts';
import auth from '../plugins/hooks/auth.ts';
import cors from '../plugins/hooks/cors.ts';
import disk from '../plugins/hooks/disk.ts';
import hostCheck from '../plugins/hooks/host-check.ts';
import httpRules, { originForm } from '../plugins/hooks/http-rules.ts';
import idempotency from '../plugins/hooks/idempotency.ts';
import methods from '../plugins/hooks/methods.ts';
import rateLimit from '../plugins/hooks/rate-limit.ts';
import repositoryLimits from '../plugins/hooks/repository-limits.ts';
import requestLimits from '../plugins/hooks/request-limits.ts';
import securityHeaders from '../plugins/hooks/security-headers.ts';
import { agentRoutes } from '../plugins/routes/agents.ts';
import { auditRoutes } from '../plugins/routes/audit.ts';
import { dashboardRoutes } from '../plugins/routes/dashboard.ts';
import { eventRoutes } from '../plugins/routes/events.ts';
import { feedRoutes } from '../plugins/routes/feed.ts';
import { healthRoutes } from '../plugins/routes/health.ts';
import { housekeepingRoutes } from '../plugins/routes/housekeeping.ts';
import { keyRoutes } from '../plugins/routes/keys.ts';
import { metricsRoutes } from '../plugins/routes/metrics.ts';
import { permissionRoutes } from '../plugins/routes/permissions.ts';
import { planRoutes } from '../plugins/routes/plans.ts';
import { runRoutes } from '../plugins/routes/runs.ts';
import { sessionRoutes } from '../plugins/routes/session.ts';
import { simpleApiRoutes } from '../plugins/routes/simple-api/simple-api.ts';
import { ticketRoutes } from '../plugins/routes/tickets.ts';
import { usageRoutes } from '../plugins/routes/usage.ts';
import agents from '../plugins/services/agents.ts';
import github from '../plugins/services/github.ts';
import housekeeping from '../plugins/services/housekeeping.ts';
import permissions from '../plugins/services/permissions.ts';
import plans from '../plugins/services/plans.ts';
import readiness from '../plugins/services/readiness.ts';
import runs from '../plugins/services/runs.ts';
import sandbox from '../plugins/services/sandbox.ts';
import tickets from '../plugins/services/tickets.ts';
import workspaces from '../plugins/services/workspaces.ts';
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

  // Core: decorators that everything else uses.
  await app.register(config, options);
  await app.register(redaction, options);
  await app.register(lifecycle);
  await app.register(store);
  await app.register(problem);

  // Hooks: the stages that a request passes before its route, in this order.
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

  // Core that needs the hooks.
  await app.register(metrics, { version });
  await app.register(tracing, { version });
  await app.register(openapi, { version });
  await app.register(sse);

  // Services: one domain object each.
  await app.register(github);
  await app.register(sandbox);
  await app.register(workspaces);
  await app.register(agents, { definitions: options.agents });
  await app.register(plans);
  await app.register(permissions);
  await app.register(runs);
  await app.register(tickets);
  await app.register(housekeeping);
  await app.register(readiness);

  // Routes: one resource each.
  await app.register(agentRoutes);
  await app.register(ticketRoutes);
  await app.register(planRoutes);
  await app.register(permissionRoutes);
  await app.register(runRoutes);
  await app.register(eventRoutes);
  await app.register(feedRoutes);
  await app.register(simpleApiRoutes);
  await app.register(usageRoutes);
  await app.register(keyRoutes);
  await app.register(auditRoutes);
  await app.register(sessionRoutes);
  await app.register(dashboardRoutes);
  await app.register(housekeepingRoutes);
  await app.register(healthRoutes, { name, version });
  await app.register(metricsRoutes);

  return app;
}
