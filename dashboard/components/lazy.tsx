import type { ComponentType } from 'preact';
import { lazy as lazyComponent } from 'preact-iso';

/**
 * Loads a component when it is first rendered, within an `ErrorBoundary`. A failed load, such as after an update of the
 * server, becomes a render error.
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
