import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import UPlot from 'uplot';
import type { UsageItem, UsageReport } from '../../schemas/usage.ts';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { Title } from '../components/title.tsx';
import { compact, count, duration, plural } from '../lib/format.ts';
import { usage } from '../lib/queries.ts';
import { useResource } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';

const GROUPINGS = [
  { by: 'day', name: 'By day', scope: 'any' },
  { by: 'ticket', name: 'By ticket', scope: 'any' },
  { by: 'key', name: 'By key', scope: 'admin' },
] as const;

const DAY_MS = 86_400_000;

export function Usage() {
  const { query, route } = useLocation();
  const can = useCan();
  const by = GROUPINGS.find((grouping) => grouping.by === query.by)?.by ?? 'day';
  const { data, problem, loading } = useResource(usage(by));
  const total = (data?.items ?? []).reduce((sum, item) => sum + tokensOf(item), 0);
  const runs = (data?.items ?? []).reduce((sum, item) => sum + item.runs, 0);
  return (
    <>
      <Title title="Usage" />
      <div class="toolbar">
        <fieldset class="segments">
          <legend class="hidden">Show</legend>
          {GROUPINGS.filter(({ scope }) => can(scope)).map((grouping) => (
            <button
              key={grouping.by}
              type="button"
              aria-pressed={grouping.by === by}
              onClick={() => route(`/dashboard/usage?by=${grouping.by}`, true)}
            >
              {grouping.name}
            </button>
          ))}
        </fieldset>
        {data !== undefined && (
          <span class="muted">
            {data.from} to {data.to}: {plural(runs, 'run')}, {compact(total)} tokens
          </span>
        )}
      </div>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="usage" />}
      {data !== undefined && runs === 0 && <Empty title="No usage in this period" />}
      {data !== undefined && runs > 0 && (
        <>
          {by === 'day' && <Chart report={data} />}
          <UsageTable items={data.items} by={by} />
        </>
      )}
    </>
  );
}

function tokensOf({ input_tokens, output_tokens }: UsageItem): number {
  return input_tokens + output_tokens;
}

/** Shows the tokens of each day as bars. The table below has the same figures for screen readers. */
function Chart({ report }: { report: UsageReport }) {
  const container = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = container.current;
    if (element === null) return;
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    let chart = draw(element, report);
    const redraw = () => {
      chart.destroy();
      chart = draw(element, report);
    };
    const resized = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    scheme.addEventListener('change', redraw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener('change', redraw);
      chart.destroy();
    };
  }, [report]);
  return (
    <figure class="card chart">
      <figcaption>
        <span class="key-in">Tokens in</span> <span class="key-out">Tokens out</span>
      </figcaption>
      <div ref={container} aria-hidden="true" />
    </figure>
  );
}

const HEIGHT = 220;

function draw(element: HTMLElement, { from, to, items }: UsageReport): UPlot {
  const itemsByDay = new Map(items.map((item) => [item.day, item]));
  const days: number[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) days.push(at / 1000);
  const itemOf = (second: number) => itemsByDay.get(new Date(second * 1000).toISOString().slice(0, 10));
  // The bars overlap: the first series is the sum of both.
  const total = days.map((day) => tokensOf(itemOf(day) ?? NO_USAGE));
  const input = days.map((day) => itemOf(day)?.input_tokens ?? 0);
  const style = getComputedStyle(element);
  const color = (name: string) => computedColor(element, style.getPropertyValue(name));
  const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
  const bars = UPlot.paths.bars?.({ size: [0.6, 40], radius: 0.15 });
  const paths = bars === undefined ? {} : { paths: bars };
  return new UPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: true, range: (_, min, max) => [min - DAY_MS / 2000, max + DAY_MS / 2000] },
        y: { range: (_, __, max) => [0, Math.max(10, max * 1.1)] },
      },
      axes: [axis, { ...axis, size: 56, values: (_, ticks) => ticks.map(compact) }],
      series: [
        {},
        { fill: color('--chart-out'), width: 0, points: { show: false }, ...paths },
        { fill: color('--chart-in'), width: 0, points: { show: false }, ...paths },
      ],
      tzDate: (second) => UPlot.tzDate(new Date(second * 1000), 'Etc/UTC'),
    },
    [days, total, input],
    element,
  );
}

const NO_USAGE: UsageItem = {
  runs: 0,
  runs_by_state: {},
  runs_by_action: {},
  input_tokens: 0,
  output_tokens: 0,
  cached_tokens: 0,
  duration_ms: 0,
};

/** Resolves `light-dark()` to a color that a canvas accepts. */
function computedColor(element: HTMLElement, value: string): string {
  const probe = document.createElement('span');
  probe.style.color = value;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function UsageTable({ items, by }: { items: readonly UsageItem[]; by: 'day' | 'ticket' | 'key' }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area
    <section class="table" tabIndex={0} aria-label="Usage">
      <table>
        <thead>
          <tr>
            <th>{by === 'day' ? 'Day' : by === 'ticket' ? 'Ticket' : 'Key'}</th>
            <th class="right">Runs</th>
            <th class="right">Failed</th>
            <th class="right">Tokens in</th>
            <th class="right">Cached</th>
            <th class="right">Tokens out</th>
            <th class="right">Duration</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => {
            const name = item.day ?? item.ticket_id ?? item.key_id ?? 'Without a key';
            return (
              <tr key={name}>
                <td>{item.ticket_id === undefined ? name : <a href={`/dashboard/tickets/${name}`}>{name}</a>}</td>
                <td class="right num">{count(item.runs)}</td>
                <td class="right num">
                  {count((item.runs_by_state.failed ?? 0) + (item.runs_by_state.timed_out ?? 0))}
                </td>
                <td class="right num">{count(item.input_tokens)}</td>
                <td class="right num">{count(item.cached_tokens)}</td>
                <td class="right num">{count(item.output_tokens)}</td>
                <td class="right num">{item.duration_ms === 0 ? '' : duration(item.duration_ms)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
