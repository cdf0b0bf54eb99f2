import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/** Shows a modal dialog. Esc, and a click outside of it, close it. */
export function Dialog({ title, onClose, children }: { title: string; onClose(): void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    ref.current?.showModal();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the browser closes a dialog on Esc
    <dialog
      ref={ref}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === ref.current) ref.current?.close();
      }}
    >
      <div class="dialog">
        <h2>{title}</h2>
        {children}
        {/* Last, so that the first field gets the focus. */}
        <button type="button" class="quiet small close" aria-label="Close" onClick={() => ref.current?.close()}>
          ✕
        </button>
      </div>
    </dialog>
  );
}
