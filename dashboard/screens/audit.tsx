import type { AuditEntry } from '../../schemas/audit.ts';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { LoadMore } from '../components/load-more.tsx';
import { Title } from '../components/title.tsx';
import { dateTime } from '../lib/format.ts';
import { audit } from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';

/** Shows the audit log, which also lists refused requests. */
export function Audit() {
  const { data, problem, loading, loadMore, reload } = useList(audit);
  return (
    <>
      <Title title="Audit">
        <button type="button" disabled={loading} onClick={reload}>
          Refresh
        </button>
      </Title>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="the audit log" />}
      {data?.items.length === 0 && <Empty title="No entries yet" />}
      {data !== undefined && data.items.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area
        <section class="table" tabIndex={0} aria-label="Audit log">
          <table>
            <thead>
              <tr>
                <th>Time</th>
                <th>Actor</th>
                <th>Address</th>
                <th>Operation</th>
                <th>Resource</th>
                <th>Status</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((entry) => (
                <tr key={entry.seq}>
                  <td class="nowrap">{dateTime(entry.time)}</td>
                  <td class="mono">{entry.actor}</td>
                  <td class="mono">{entry.address}</td>
                  <td>{entry.operation}</td>
                  <td>
                    <Resource entry={entry} />
                  </td>
                  <td class={entry.status >= 400 ? 'wrong nowrap' : 'nowrap'}>
                    {entry.status} {entry.code ?? ''}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <LoadMore onClick={loadMore} />
    </>
  );
}

function Resource({ entry }: { entry: AuditEntry }) {
  const { ticket_id, run_id, key_id } = entry;
  if (run_id !== undefined) return <a href={`/dashboard/runs/${run_id}`}>Run of {ticket_id ?? run_id.slice(0, 8)}</a>;
  if (ticket_id !== undefined) return <a href={`/dashboard/tickets/${ticket_id}`}>{ticket_id}</a>;
  return <span class="mono">{key_id ?? ''}</span>;
}
