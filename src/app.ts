import accepts from '@fastify/accepts';
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
  /** Environment of git and gh: proxies, certificates and the git settings of the operator. */
  parentEnv: Readonly<Record<string, string | undefined>>;
  logger: Logger;
  /** The redactor of the logger. */
  redactor: Redactor;
  /** Replaces the built-in agents. */
  agents?: readonly AgentDefinition[];
};

/**
 * Limits on clients, in milliseconds: `request` for a whole request, `headers` for its headers (from the connection on),
 * `idle` between two requests. Node enforces the first two every `checkInterval`. Responses have no limit.
 */
const TIMEOUTS = { request: 30_000, headers: 15_000, idle: 75_000, checkInterval: 5_000 };

/**
 * Builds the server from its plugins, in the order in which they boot.
 * @returns the application, not yet listening
 * @throws the error of a plugin that cannot boot, such as a store that cannot be opened
 */
export async function buildApp(options: AppOptions) {
  const { name, version } = packageJson;
  const app = Fastify({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 1_048_576,
    // The limit holds for hooks that stop the server, too: they wait up to SHUTDOWN_SECONDS for runs. Boot has no limit.
    pluginTimeout: 0,
    requestTimeout: TIMEOUTS.request,
    keepAliveTimeout: TIMEOUTS.idle,
    http: {
      headersTimeout: TIMEOUTS.headers,
      connectionsCheckingInterval: TIMEOUTS.checkInterval,
      maxHeaderSize: 16_384,
      requireHostHeader: false,
    },
    // With an empty list, Fastify would still search the headers of each request for proxies.
    trustProxy: options.config.TRUST_PROXY.length > 0 && [...options.config.TRUST_PROXY],
    clientErrorHandler: answerConnectionError,
    rewriteUrl: ({ url = '/' }) => originForm(url),
    forceCloseConnections: 'idle',
    // The lifecycle plugin answers with a problem instead.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, request, reply) =>
      void sendProblem(new AppError('invalid_request', 'The URL is not valid.', { cause: error }), request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();

  // Core: decorators that all other plugins use.
  await app.register(config, options);
  await app.register(redaction, options);
  await app.register(lifecycle);
  await app.register(store);
  await app.register(problem);
  await app.register(accepts);

  // Hooks: the stages of a request before its route, in this order.
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

  // Core plugins that depend on hooks.
  await app.register(metrics, { version });
  await app.register(tracing, { version });
  await app.register(openapi, { version });

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

  // Core, after the runs: hooks that stop the server run in this order, and streams must not end before the runs do.
  await app.register(sse);

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
