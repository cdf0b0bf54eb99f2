import type { ComponentType } from 'preact';
import { lazy as lazyComponent } from 'preact-iso';

/**
 * A component that is loaded when it is looked at, within an `ErrorBoundary`. One that cannot be loaded, as after an upgrade of
 * the server, is one that cannot be drawn.
 */
export function lazy<Props>(load: () => Promise<ComponentType<Props>>) {
  return lazyComponent(() =>
    load().catch(
      (error): ComponentType<Props> =>
        () => {
          throw error;
        },
    ),
  );
}
