/**
 * Variable of every process that the server starts outside of a sandbox, with its DATA_DIR as value: by it, what outlived
 * a server that was killed is found again.
 */
export const CHILD_MARK = 'CHILD_OF_PULLWRIGHT';
