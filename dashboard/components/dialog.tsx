import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/** A modal dialog; the browser keeps the focus in it and gives it back. Esc and a click beside it close it. */
export function Dialog({ title, onClose, children }: { title: string; onClose(): void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    ref.current?.showModal();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes a dialog by itself
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
        {/* Last, so that the focus begins at the first field. */}
        <button type="button" class="quiet small close" aria-label="Close" onClick={() => ref.current?.close()}>
          ✕
        </button>
      </div>
    </dialog>
  );
}
