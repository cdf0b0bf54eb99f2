import { useEffect, useRef, useState } from 'preact/hooks';
import type { Problem } from '../../schemas/problem.ts';
import { ProblemBox } from '../components/feedback.tsx';
import { asProblem } from '../lib/problem.ts';
import { signInNotice } from '../lib/session.ts';
import { signIn } from '../lib/sign-in.ts';

export function SignIn() {
  const notice = signInNotice.value;
  const [key, setKey] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(key.trim());
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }

  return (
    <main class="standalone">
      <h1>Sign in to Pullwright</h1>
      {notice !== undefined && problem === undefined && <div class="notice ask">{notice}</div>}
      <form onSubmit={(event) => void submit(event)}>
        <label>
          API key
          <input
            ref={field}
            type="password"
            name="key"
            autoComplete="current-password"
            required
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
      {problem !== undefined && <ProblemBox problem={problem} />}
      <p class="muted">
        You stay signed in for a week, or until the key expires or is revoked. The browser does not store the key. An
        admin creates keys on the page Keys or with <code>pullwright keys create</code>.
      </p>
    </main>
  );
}
