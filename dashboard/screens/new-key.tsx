import { useState } from 'preact/hooks';
import { unwrap } from '../../client/client.ts';
import type { CreateKey, KeyCreated, Scope } from '../../schemas/key.ts';
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

const SCOPES: readonly [scope: Scope, description: string][] = [
  ['read', 'view tickets, plans, changes and runs'],
  ['chat', 'create tickets; ask about the code'],
  ['plan', 'create tickets; make, edit and approve plans'],
  ['dev', 'create and delete tickets; run dev; answer permission requests'],
  ['metrics', 'read the metrics only'],
  ['admin', 'everything, including keys and the audit log'],
];

const DAY_MS = 86_400_000;

type Values = { name: string; scopes: readonly Scope[]; repositories: string; days: string };

export function NewKey({ onClose }: { onClose(): void }) {
  const [created, setCreated] = useState<KeyCreated>();
  return created === undefined ? (
    <KeyForm onClose={onClose} onCreated={setCreated} />
  ) : (
    <CreatedKey created={created} onClose={onClose} />
  );
}

function KeyForm({ onClose, onCreated }: { onClose(): void; onCreated(created: KeyCreated): void }) {
  const [values, setValues] = useState<Values>({ name: '', scopes: ['read'], repositories: '', days: '90' });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const change = (changed: Partial<Values>) => setValues((before) => ({ ...before, ...changed }));

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      const created = await unwrap(api.POST('/v1/keys', { body: requestOf(values) }));
      onCreated(created);
      // The first key ends the access without a key, so its creator continues with a session of the new key.
      if (session.value?.key_id === 'loopback') await createSession(created.key);
      invalidate((path) => path === keys.key);
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
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
            value={values.name}
            aria-describedby="key-name-hint"
            onInput={({ currentTarget }) => change({ name: currentTarget.value })}
          />
          <div id="key-name-hint" class="muted hint">
            The person or program that uses the key.
          </div>
        </div>
        <ScopeField scopes={values.scopes} onChange={(scopes) => change({ scopes })} />
        <div class="field">
          <label for="key-repositories">
            Repositories <span class="muted">optional</span>
          </label>
          <input
            id="key-repositories"
            type="text"
            placeholder="acme/widgets, acme/*"
            value={values.repositories}
            onInput={({ currentTarget }) => change({ repositories: currentTarget.value })}
          />
        </div>
        <div class="field">
          <label for="key-days">Expires after</label>
          <select
            id="key-days"
            value={values.days}
            onChange={({ currentTarget }) => change({ days: currentTarget.value })}
          >
            <option value="7">7 days</option>
            <option value="90">90 days</option>
            <option value="365">1 year</option>
            <option value="">Never</option>
          </select>
        </div>
        {problem !== undefined && <ProblemBox problem={problem} />}
        <div class="actions end">
          <button type="submit" class="primary" disabled={busy || values.scopes.length === 0}>
            {busy ? 'Creating…' : 'Create key'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function requestOf({ name, scopes, repositories, days }: Values): CreateKey {
  const limits = repositories.split(/[\s,]+/).filter(Boolean);
  return {
    name,
    scopes: [...scopes],
    ...(limits.length > 0 && { repositories: limits }),
    ...(days !== '' && { expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString() }),
  };
}

function ScopeField({ scopes, onChange }: { scopes: readonly Scope[]; onChange(scopes: Scope[]): void }) {
  return (
    <fieldset class="field choices">
      <legend>Scopes</legend>
      {SCOPES.map(([scope, description]) => (
        <label key={scope}>
          <input
            type="checkbox"
            checked={scopes.includes(scope)}
            onChange={({ currentTarget }) => {
              const others = scopes.filter((other) => other !== scope);
              onChange(currentTarget.checked ? [...others, scope] : others);
            }}
          />
          <span>
            <strong>{scope}</strong> <span class="muted">{description}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** Shows the secret of a new key, which the server does not return again. */
function CreatedKey({ created, onClose }: { created: KeyCreated; onClose(): void }) {
  async function close(): Promise<void> {
    onClose();
    if (session.value?.key_id === 'loopback') await loadSession();
  }
  return (
    <Dialog title={`Key ${created.name}`} onClose={() => void close()}>
      <p>
        <strong>Copy the key now. It is not shown again.</strong>
      </p>
      <div class="secret">
        <code>{created.key}</code>
        <CopyButton text={created.key} label="Copy key" />
      </div>
    </Dialog>
  );
}
