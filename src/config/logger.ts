/** What the domain needs of a logger: objects first, then a lower-case message. pino's and Fastify's loggers fit. */
export type Logger = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(bindings: Record<string, unknown>): Logger;
};
