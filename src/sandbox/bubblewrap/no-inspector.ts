/**
 * Option of every Node process that is started in a sandbox. Without it, SIGUSR1 opens the inspector of a process, and whoever may
 * send that signal can then execute code in it, such as speak for an agent.
 */
export const NO_INSPECTOR = '--disable-sigusr1';
