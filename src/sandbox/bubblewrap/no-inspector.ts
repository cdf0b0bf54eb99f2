/**
 * Option of every Node process in a sandbox. Without it, SIGUSR1 opens the inspector, through which any process of the same user
 * can execute code, for example to speak for an agent.
 */
export const NO_INSPECTOR = '--disable-sigusr1';
