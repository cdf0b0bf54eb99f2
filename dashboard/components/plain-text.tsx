export function PlainText({ text }: { text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area
    <pre class="output" tabIndex={0}>
      {text}
    </pre>
  );
}
