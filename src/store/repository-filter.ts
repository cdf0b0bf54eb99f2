import { type Expression, type Kysely, type SqlBool, sql } from 'kysely';
import type { Database } from './schema.ts';

/**
 * Builds the SQL condition that `repo_url` is one of the repositories.
 * @param repositories `HOST/OWNER/NAME` or `HOST/OWNER/*`, in lower case
 */
export function inRepositories(repositories: readonly string[]): Expression<SqlBool> {
  const conditions = repositories.map((pattern) => {
    if (!pattern.endsWith('/*')) return sql<SqlBool>`lower(repo_url) = ${`https://${pattern}`}`;
    const prefix = `https://${pattern.slice(0, -1)}`;
    return sql<SqlBool>`substr(lower(repo_url), 1, ${prefix.length}) = ${prefix}`;
  });
  return sql<SqlBool>`(${sql.join(conditions, sql` or `)})`;
}

/** Selects the keys of the tickets of these repositories. */
export function ticketKeysIn(db: Kysely<Database>, repositories: readonly string[]) {
  return db.selectFrom('tickets').select('ticket_key').where(inRepositories(repositories));
}
