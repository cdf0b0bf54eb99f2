import { type Expression, type SqlBool, sql } from 'kysely';

/**
 * SQL condition on `repo_url` of the tickets: the repository is one of those named.
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
