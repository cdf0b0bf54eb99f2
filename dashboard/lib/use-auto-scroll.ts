import { useEffect, useRef, useState } from 'preact/hooks';
import { isTyping } from './shortcuts.ts';

/** Within this distance from the end, in pixels, the window follows new content. */
const END_DISTANCE = 80;

const UPWARD_KEYS: ReadonlySet<string> = new Set(['ArrowUp', 'PageUp', 'Home']);

/**
 * Keeps the window scrolled to the end while content grows, until the reader scrolls up.
 * @param end an element whose parent is the growing content
 * @param startAtEnd whether to scroll to the end first
 */
export function useAutoScroll(end: { current: HTMLElement | null }, startAtEnd: boolean) {
  const [scrolledUp, setScrolledUp] = useState(false);
  const following = useRef(startAtEnd);

  const scrollToEnd = () => {
    follow(true);
    setScrolledUp(false);
    window.scrollTo({ top: document.documentElement.scrollHeight });
  };

  function follow(value: boolean): void {
    following.current = value;
    // Scroll anchoring keeps the text in view when content above it changes. At the end it would work against us.
    document.documentElement.style.overflowAnchor = value ? 'none' : '';
  }

  useEffect(() => {
    const content = end.current?.parentElement;
    if (content === null || content === undefined) return;
    const { documentElement: page } = document;
    let [lastTop, lastHeight] = [window.scrollY, page.scrollHeight];
    const distanceToEnd = () => page.scrollHeight - window.innerHeight - window.scrollY;
    const remember = () => {
      [lastTop, lastHeight] = [window.scrollY, page.scrollHeight];
    };
    // A page that becomes shorter scrolls without the reader. Wheel, touch and keys are certain signs of the reader.
    const onScroll = () => {
      if (window.scrollY < lastTop - 2 && page.scrollHeight === lastHeight && distanceToEnd() > END_DISTANCE)
        follow(false);
      if (window.scrollY >= lastTop && distanceToEnd() <= END_DISTANCE) follow(true);
      remember();
      setScrolledUp(!following.current && distanceToEnd() > END_DISTANCE);
    };
    const resized = new ResizeObserver(() => {
      if (following.current) window.scrollTo({ top: page.scrollHeight });
      else setScrolledUp(distanceToEnd() > END_DISTANCE);
      remember();
    });
    follow(following.current);
    resized.observe(content);
    const listening = new AbortController();
    const options = { passive: true, signal: listening.signal };
    window.addEventListener('scroll', onScroll, options);
    window.addEventListener('wheel', ({ deltaY }) => deltaY < 0 && follow(false), options);
    window.addEventListener('touchmove', () => follow(false), options);
    window.addEventListener(
      'keydown',
      (event) => UPWARD_KEYS.has(event.key) && !isTyping(event) && follow(false),
      options,
    );
    return () => {
      resized.disconnect();
      listening.abort();
      page.style.overflowAnchor = '';
    };
  }, [end]);

  return { scrolledUp, scrollToEnd };
}
