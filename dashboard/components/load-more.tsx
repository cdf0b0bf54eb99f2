/** Loads the next page of a list; nothing when there is none. */
export function LoadMore({ more }: { more: (() => void) | undefined }) {
  if (more === undefined) return null;
  return (
    <button type="button" onClick={more}>
      Load more
    </button>
  );
}
