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

/** The time between two moments; while there is no second one, it goes on. */
export function Elapsed({ from, to }: { from: string; to?: string | undefined }) {
  const now = useNow(to === undefined ? 1000 : undefined);
  return <span class="num">{duration((to === undefined ? now : Date.parse(to)) - Date.parse(from))}</span>;
}

/** The time, which moves on every so often; it stands still without an interval. */
export function useNow(every: number | undefined): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (every === undefined) return;
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
