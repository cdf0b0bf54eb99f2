import { useState } from 'preact/hooks';

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(text);
    setDone(true);
  }
  return (
    <button
      type="button"
      class="small quiet"
      onClick={() => void copy().catch(() => setDone(false))}
      onBlur={() => setDone(false)}
    >
      {done ? 'Copied' : label}
    </button>
  );
}
