import type { ComponentType } from 'preact';
import { lazy } from 'preact-iso';

/**
 * A component that is loaded when it is looked at, within an `ErrorBoundary`. One that cannot be loaded, as after an upgrade of
 * the server, is one that cannot be drawn.
 */
export function later<Props>(load: () => Promise<ComponentType<Props>>) {
  return lazy(() =>
    load().catch(
      (error): ComponentType<Props> =>
        () => {
          throw error;
        },
    ),
  );
}
