import { useState } from 'preact/hooks';
import { unwrap } from '../../client/client.ts';
import type { KeyCreated, Scope } from '../../schemas/key.ts';
import type { Problem } from '../../schemas/problem.ts';
import { CopyButton } from '../components/copy-button.tsx';
import { Dialog } from '../components/dialog.tsx';
import { ProblemBox } from '../components/feedback.tsx';
import { api } from '../lib/api.ts';
import { asProblem } from '../lib/problem.ts';
import { keys } from '../lib/queries.ts';
import { invalidate } from '../lib/resource.ts';
import { session } from '../lib/session.ts';
import { createSession, loadSession } from '../lib/sign-in.ts';

const SCOPES: readonly [scope: Scope, what: string][] = [
  ['read', 'see tickets, plans, changes and runs'],
  ['chat', 'create tickets; ask about the code'],
  ['plan', 'create tickets; make, edit and approve plans'],
  ['dev', 'create and delete tickets; carry plans out; answer agents'],
  ['metrics', 'read /metrics, and nothing else'],
  ['admin', 'everything, keys and the audit log too'],
];

const DAY_MS = 86_400_000;

export function NewKey({ onClose }: { onClose(): void }) {
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<ReadonlySet<Scope>>(new Set(['read']));
  const [repositories, setRepositories] = useState('');
  const [days, setDays] = useState('90');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [created, setCreated] = useState<KeyCreated>();

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    const limited = repositories.split(/[\s,]+/).filter(Boolean);
    try {
      const key = await unwrap(
        api.POST('/v1/keys', {
          body: {
            name,
            scopes: [...scopes],
            ...(limited.length === 0 ? {} : { repositories: limited }),
            ...(days === '' ? {} : { expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString() }),
          },
        }),
      );
      setCreated(key);
      // Where no key was needed one is now: whoever made it goes on with it.
      if (session.value?.key_id === 'loopback') await createSession(key.key);
      invalidate((path) => path === keys.key);
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }

  async function close(): Promise<void> {
    onClose();
    if (created !== undefined && session.value?.key_id === 'loopback') await loadSession();
  }

  if (created !== undefined) {
    return (
      <Dialog title={`Key ${created.name}`} onClose={() => void close()}>
        <p>
          <strong>Copy it now: it is not shown again.</strong>
        </p>
        <div class="secret">
          <code>{created.key}</code>
          <CopyButton text={created.key} label="Copy the key" />
        </div>
      </Dialog>
    );
  }

  return (
    <Dialog title="New key" onClose={onClose}>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <div class="field">
          <label for="key-name">Name</label>
          <input
            id="key-name"
            type="text"
            required
            maxLength={100}
            value={name}
            aria-describedby="key-name-hint"
            onInput={({ currentTarget }) => setName(currentTarget.value)}
          />
          <div id="key-name-hint" class="muted hint">
            Whose it is, or what for.
          </div>
        </div>
        <fieldset class="field choices">
          <legend>May</legend>
          {SCOPES.map(([scope, what]) => (
            <label key={scope}>
              <input
                type="checkbox"
                checked={scopes.has(scope)}
                onChange={({ currentTarget }) => {
                  const next = new Set(scopes);
                  if (currentTarget.checked) next.add(scope);
                  else next.delete(scope);
                  setScopes(next);
                }}
              />
              <span>
                <strong>{scope}</strong> <span class="muted">{what}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <div class="field">
          <label for="key-repositories">
            Repositories <span class="muted">optional</span>
          </label>
          <input
            id="key-repositories"
            type="text"
            placeholder="acme/widgets, acme/*"
            value={repositories}
            onInput={({ currentTarget }) => setRepositories(currentTarget.value)}
          />
        </div>
        <div class="field">
          <label for="key-days">Valid for</label>
          <select id="key-days" value={days} onChange={({ currentTarget }) => setDays(currentTarget.value)}>
            <option value="7">A week</option>
            <option value="90">90 days</option>
            <option value="365">A year</option>
            <option value="">Until it is revoked</option>
          </select>
        </div>
        {problem !== undefined && <ProblemBox problem={problem} />}
        <div class="actions end">
          <button type="submit" class="primary" disabled={busy || scopes.size === 0}>
            {busy ? 'Creating…' : 'Create key'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
