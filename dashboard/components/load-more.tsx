/** Loads the next page of a list; nothing when there is none. */
export function LoadMore({ onClick }: { onClick: (() => void) | undefined }) {
  if (onClick === undefined) return null;
  return (
    <button type="button" onClick={onClick}>
      Load more
    </button>
  );
}
