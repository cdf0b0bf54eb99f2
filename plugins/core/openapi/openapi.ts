import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { OptionalKind, type TSchema, Type } from '@sinclair/typebox';
import fp from 'fastify-plugin';
import { Event, eventData } from '../../../schemas/event.ts';
import { Problem } from '../../../schemas/problem.ts';
import { createComponents, isObject, optionalWithDefault, resolveMarks } from './components.ts';
import { createProblems } from './problems.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Response schema of every error. */
    problemResponse: typeof problemResponse;
  }
}

const problemResponse = {
  description: 'Any error, as a problem (RFC 9457).',
  content: { 'application/problem+json': { schema: Problem } },
};

/** The page loads resources of this server only. */
const PAGE_POLICY =
  "default-src 'none'; connect-src 'self'; font-src 'self' data:; img-src 'self' data:; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Serves `/openapi.json` (OpenAPI 3.1), generated from the route schemas, and `/docs`, a page to read it. */
export default fp<{ version: string }>(
  async (app, { version }) => {
    app.decorate('problemResponse', problemResponse);
    const components = createComponents();
    const problems = createProblems();
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Pullwright',
          version,
          description: `Turns a ticket into a pull request with a coding agent.\n\n${eventTable()}`,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: '/', description: 'This server.' }],
        tags: [
          { name: 'simple API', description: 'Two routes: create a ticket, and send it a command.' },
          { name: 'tickets', description: 'A unit of work on one repository, with a branch and a workspace.' },
          { name: 'plans', description: 'Plans of a ticket, in versions that people edit and approve.' },
          { name: 'runs', description: 'A run is one command to the agent, with a durable log of events.' },
          { name: 'permissions', description: 'Tool calls that wait for the answer of a person.' },
          { name: 'usage', description: 'Tokens, runs and durations.' },
          { name: 'agents', description: 'Coding agents and their processes.' },
          { name: 'keys', description: 'API keys with scopes, repositories and an expiry.' },
          { name: 'session', description: 'Sign-in to the dashboard.' },
          { name: 'audit', description: 'Log of changes and refused requests.' },
          { name: 'housekeeping', description: 'Clean-up and backup.' },
          { name: 'health', description: 'Health checks and metrics for monitoring.' },
        ],
        components: {
          securitySchemes: {
            apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
            bearer: { type: 'http', scheme: 'bearer' },
          },
        },
      },
      // OpenAPI 3.1 allows scopes as roles of a security scheme other than OAuth.
      transform: ({ schema, url, route }) => ({
        schema: {
          ...schema,
          ...(schema?.body === undefined ? {} : { body: components.moveOut(schema.body) }),
          response: components.moveOut({
            ...problems.responses({ ...route, url, isPublic: route.config?.public === true, schema: schema ?? {} }),
            ...(isObject(schema?.response) ? schema.response : {}),
          }),
          ...(schema?.querystring === undefined ? {} : { querystring: optionalWithDefault(schema.querystring) }),
          security: security(route.config?.scope),
        },
        url,
      }),
      transformObject: (document) => {
        if (!('openapiObject' in document)) return document.swaggerObject;
        const { openapiObject } = document;
        const schemas = { ...components.schemas, ...eventSchemas() };
        resolveMarks(schemas);
        resolveMarks(openapiObject.paths);
        Object.assign(openapiObject.components ?? {}, { schemas, examples: problems.examples });
        return openapiObject;
      },
    });
    await app.register(async (docs) => {
      docs.addHook('onRoute', (route) => {
        route.config = { ...route.config, public: true };
      });
      docs.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
        reply.header('cache-control', 'no-cache');
        return app.swagger();
      });
      await docs.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: true,
        transformStaticCSP: () => PAGE_POLICY,
        theme: {
          title: 'Pullwright',
          css: [{ filename: 'pullwright.css', content: '.swagger-ui .topbar { display: none; }' }],
        },
      });
    });
  },
  { name: 'openapi', dependencies: ['validation', 'auth'] },
);

/** Returns the alternatives: a key with any one of the scopes, in either header. */
function security(scopes: readonly string[] = []) {
  return scopes.flatMap((scope): Record<string, string[]>[] => [{ apiKey: [scope] }, { bearer: [scope] }]);
}

/** Returns `Event` as a union discriminated by `type`. Route schemas validate its envelope only. */
function eventSchemas(): Record<string, object> {
  const { seq, run_id, time } = Event.properties;
  const types = Object.entries(eventData).map(([type, data]) => {
    const name = `${type.replace(/(?:^|[._])([a-z])/g, (_, letter: string) => letter.toUpperCase())}Event`;
    return { name, type, schema: Type.Object({ seq, run_id, time, type: Type.Literal(type), data }) };
  });
  const reference = (name: string) => `#/components/schemas/${name}`;
  return {
    ...Object.fromEntries(types.map(({ name, schema }) => [name, schema])),
    Event: {
      oneOf: types.map(({ name }) => ({ $ref: reference(name) })),
      discriminator: {
        propertyName: 'type',
        mapping: Object.fromEntries(types.map(({ name, type }) => [type, reference(name)])),
      },
    },
  };
}

/** Formats the event types as Markdown, since OpenAPI cannot describe the frames of a stream. */
function eventTable(): string {
  const rows = Object.entries(eventData).map(([type, schema]) => {
    const fields = Object.entries<TSchema>(schema.properties).map(([name, field]) =>
      field[OptionalKind] === undefined ? name : `${name}?`,
    );
    return `| \`${type}\` | ${fields.map((field) => `\`${field}\``).join(', ')} |`;
  });
  return ['Events of a run:', '', '| type | data |', '|---|---|', ...rows].join('\n');
}
