/** The logger of the domain modules: first the fields, then a lower-case message. Loggers of pino and Fastify match. */
export type Logger = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(bindings: Record<string, unknown>): Logger;
};
