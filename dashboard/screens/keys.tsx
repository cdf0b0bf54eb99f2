import { useState } from 'preact/hooks';
import { unwrap } from '../../client/client.ts';
import type { Key } from '../../schemas/key.ts';
import type { Problem } from '../../schemas/problem.ts';
import { Dialog } from '../components/dialog.tsx';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { LoadMore } from '../components/load-more.tsx';
import { Badge } from '../components/state.tsx';
import { Ago } from '../components/time.tsx';
import { Title } from '../components/title.tsx';
import { api } from '../lib/api.ts';
import { dateTime } from '../lib/format.ts';
import { asProblem } from '../lib/problem.ts';
import { keys } from '../lib/queries.ts';
import { invalidate, useList } from '../lib/resource.ts';
import { loadSession } from '../lib/sign-in.ts';
import { NewKey } from './new-key.tsx';

export function Keys() {
  const { data, problem, loading, loadMore } = useList(keys);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Key>();
  return (
    <>
      <Title title="Keys">
        <button type="button" class="primary" data-compose onClick={() => setCreating(true)}>
          New key
        </button>
      </Title>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="keys" />}
      {data?.items.length === 0 && (
        <Empty title="No keys yet">
          <p>
            Create a key for each person and program: the audit log then shows who did what. After the first one, every
            request needs a key.
          </p>
        </Empty>
      )}
      {data !== undefined && data.items.length > 0 && (
        <ul class="rows keys-list" aria-label="Keys">
          {data.items.map((key) => (
            <li key={key.key_id} class="row">
              <span class="key-name">
                <strong>{key.name}</strong> <span class="mono muted">{key.key_id}</span>
              </span>
              <span>
                {key.scopes.map((scope) => (
                  <span key={scope} class="tag">
                    {scope}
                  </span>
                ))}
                {key.repositories !== undefined && <span class="muted"> {key.repositories.join(', ')}</span>}
              </span>
              <span class="muted">
                {key.last_used_at === undefined ? (
                  'Never used'
                ) : (
                  <>
                    Used <Ago time={key.last_used_at} />
                  </>
                )}
                {key.expires_at !== undefined && <span class="block">Expires {dateTime(key.expires_at)}</span>}
              </span>
              <span class="actions">
                <KeyState value={key} />
                {key.revoked_at === undefined && (
                  <button
                    type="button"
                    class="small"
                    aria-label={`Revoke ${key.name}`}
                    onClick={() => setRevoking(key)}
                  >
                    Revoke…
                  </button>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
      <LoadMore onClick={loadMore} />
      {creating && <NewKey onClose={() => setCreating(false)} />}
      {revoking !== undefined && <Revoke value={revoking} onClose={() => setRevoking(undefined)} />}
    </>
  );
}

function KeyState({ value }: { value: Key }) {
  if (value.revoked_at !== undefined) return <Badge tone="off">Revoked</Badge>;
  if (value.expires_at !== undefined && Date.parse(value.expires_at) < Date.now())
    return <Badge tone="off">Expired</Badge>;
  return <Badge tone="good">Valid</Badge>;
}

function Revoke({ value, onClose }: { value: Key; onClose(): void }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function revoke(): Promise<void> {
    setBusy(true);
    try {
      await unwrap(api.DELETE('/v1/keys/{key_id}', { params: { path: { key_id: value.key_id } } }));
      onClose();
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
    invalidate((path) => path === keys.key);
    await loadSession();
  }
  return (
    <Dialog title={`Revoke ${value.name}?`} onClose={onClose}>
      <p>The key stops working immediately, and its sessions end. Runs that it started continue.</p>
      {problem !== undefined && <ProblemBox problem={problem} />}
      <div class="actions end">
        <button type="button" class="danger" disabled={busy} onClick={() => void revoke()}>
          Revoke key
        </button>
      </div>
    </Dialog>
  );
}
