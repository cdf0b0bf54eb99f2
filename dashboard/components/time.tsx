import { useEffect, useState } from 'preact/hooks';
import { ago, dateTime, duration } from '../lib/format.ts';

export function Ago({ time }: { time: string }) {
  const now = useNow(30_000);
  return (
    <time dateTime={time} title={dateTime(time)}>
      {ago(time, now)}
    </time>
  );
}

/** Shows the duration between two times. It keeps counting while `to` is missing. */
export function Elapsed({ from, to }: { from: string; to?: string | undefined }) {
  const now = useNow(to === undefined ? 1000 : undefined);
  return <span class="num">{duration((to === undefined ? now : Date.parse(to)) - Date.parse(from))}</span>;
}

/** Returns the current time, updated at an interval in milliseconds if there is one. */
export function useNow(intervalMs: number | undefined): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (intervalMs === undefined) return;
    const timer = setInterval(() => setNow(Date.now()), intervalMs);
    return () => clearInterval(timer);
  }, [intervalMs]);
  return now;
}
