import { useEffect, useRef, useState } from 'preact/hooks';
import { isTyping } from './shortcuts.ts';

/** How near to the end one reads along, in pixels. */
const NEAR = 80;

/** Keys that scroll up. */
const UPWARD: ReadonlySet<string> = new Set(['ArrowUp', 'PageUp', 'Home']);

/**
 * Whoever reads at the end stays there while more comes; whoever has scrolled up is left alone. What is scrolled is the
 * window.
 * @param end an element of what grows, its parent
 * @param fromEnd whether one begins at the end
 */
export function useAutoScroll(end: { current: HTMLElement | null }, fromEnd: boolean) {
  const [scrolledUp, setScrolledUp] = useState(false);
  const along = useRef(fromEnd);

  const scrollToEnd = () => {
    follow(true);
    setScrolledUp(false);
    window.scrollTo({ top: document.documentElement.scrollHeight });
  };

  function follow(value: boolean): void {
    along.current = value;
    // The browser holds what one reads in its place, when something above it changes; at the end, the end is held.
    document.documentElement.style.overflowAnchor = value ? 'none' : '';
  }

  useEffect(() => {
    const content = end.current?.parentElement;
    if (content === null || content === undefined) return;
    const { documentElement: page } = document;
    let [lastTop, lastHeight] = [window.scrollY, page.scrollHeight];
    const left = () => page.scrollHeight - window.innerHeight - window.scrollY;
    const remember = () => {
      [lastTop, lastHeight] = [window.scrollY, page.scrollHeight];
    };
    // A page that becomes shorter moves by itself, which is no sign of the reader's; a wheel, a finger and a key are.
    const onScroll = () => {
      if (window.scrollY < lastTop - 2 && page.scrollHeight === lastHeight && left() > NEAR) follow(false);
      if (window.scrollY >= lastTop && left() <= NEAR) follow(true);
      remember();
      setScrolledUp(!along.current && left() > NEAR);
    };
    const grown = new ResizeObserver(() => {
      if (along.current) window.scrollTo({ top: page.scrollHeight });
      else setScrolledUp(left() > NEAR);
      remember();
    });
    follow(along.current);
    grown.observe(content);
    const listening = new AbortController();
    const options = { passive: true, signal: listening.signal };
    window.addEventListener('scroll', onScroll, options);
    window.addEventListener('wheel', ({ deltaY }) => deltaY < 0 && follow(false), options);
    window.addEventListener('touchmove', () => follow(false), options);
    window.addEventListener('keydown', (event) => UPWARD.has(event.key) && !isTyping(event) && follow(false), options);
    return () => {
      grown.disconnect();
      listening.abort();
      page.style.overflowAnchor = '';
    };
  }, [end]);

  return { scrolledUp, scrollToEnd };
}
