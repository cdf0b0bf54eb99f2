/** Shows the button that loads the next page of a list, if a next page exists. */
export function LoadMore({ onClick }: { onClick: (() => void) | undefined }) {
  if (onClick === undefined) return null;
  return (
    <button type="button" onClick={onClick}>
      Load more
    </button>
  );
}
