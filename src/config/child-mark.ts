/**
 * Environment variable of every process that the server starts outside a sandbox; its value is DATA_DIR. The next server
 * finds orphans of a killed server by it.
 */
export const CHILD_MARK = 'CHILD_OF_PULLWRIGHT';
