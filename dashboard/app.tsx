import type { ComponentChildren } from 'preact';
import { useEffect, useErrorBoundary, useState } from 'preact/hooks';
import { ErrorBoundary, LocationProvider, Route, Router, useLocation } from 'preact-iso';
import type { Problem } from '../schemas/problem.ts';
import { Empty, Loading, ProblemBox } from './components/feedback.tsx';
import { lazy } from './components/lazy.tsx';
import { Title } from './components/title.tsx';
import { startLiveUpdates } from './lib/live-updates.ts';
import { asProblem } from './lib/problem.ts';
import { clearCache } from './lib/resource.ts';
import { session } from './lib/session.ts';
import { loadSession } from './lib/sign-in.ts';
import { SignIn } from './screens/sign-in.tsx';
import { Tickets } from './screens/tickets.tsx';
import { Shell } from './shell.tsx';

// What one looks at less often is loaded when it is.
const Agents = lazy(() => import('./screens/agents.tsx').then(({ Agents }) => Agents));
const Audit = lazy(() => import('./screens/audit.tsx').then(({ Audit }) => Audit));
const Keys = lazy(() => import('./screens/keys.tsx').then(({ Keys }) => Keys));
const Permissions = lazy(() => import('./screens/permissions.tsx').then(({ Permissions }) => Permissions));
const Runs = lazy(() => import('./screens/runs.tsx').then(({ Runs }) => Runs));
const RunScreen = lazy(() => import('./screens/run.tsx').then(({ RunScreen }) => RunScreen));
const TicketScreen = lazy(() => import('./screens/ticket/ticket.tsx').then(({ TicketScreen }) => TicketScreen));
const Usage = lazy(() => import('./screens/usage.tsx').then(({ Usage }) => Usage));

export function App() {
  const [problem, setProblem] = useState<Problem>();
  const [tries, setTries] = useState(0);
  const who = session.value;
  useEffect(() => {
    loadSession().then(
      () => setProblem(undefined),
      (error) => setProblem(asProblem(error)),
    );
  }, [tries]);

  if (who === undefined && problem !== undefined) {
    return (
      <main class="standalone">
        <ProblemBox problem={problem}>
          <button type="button" onClick={() => setTries(tries + 1)}>
            Try again
          </button>
        </ProblemBox>
      </main>
    );
  }
  if (who === undefined) return <Loading label="the dashboard" />;
  if (!who.signed_in) return <SignIn />;
  return <SignedIn key={who.key_id} />;
}

function SignedIn() {
  useEffect(() => {
    const stop = startLiveUpdates();
    return () => {
      stop();
      clearCache();
    };
  }, []);
  return (
    <LocationProvider scope="/dashboard">
      <Shell>
        <Screen>
          <Router>
            <Route path="/dashboard" component={Tickets} />
            <Route path="/dashboard/tickets/:id/:tab?" component={TicketScreen} />
            <Route path="/dashboard/runs" component={Runs} />
            <Route path="/dashboard/runs/:id" component={RunScreen} />
            <Route path="/dashboard/permissions" component={Permissions} />
            <Route path="/dashboard/usage" component={Usage} />
            <Route path="/dashboard/agents" component={Agents} />
            <Route path="/dashboard/keys" component={Keys} />
            <Route path="/dashboard/audit" component={Audit} />
            <Route default component={NotFound} />
          </Router>
        </Screen>
      </Shell>
    </LocationProvider>
  );
}

/** What is at an address. When it cannot be drawn, that is said in its place, and the way to another one stays open. */
function Screen({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const [error, forget] = useErrorBoundary();
  useEffect(forget, [path]);
  if (error === undefined) return <ErrorBoundary>{children}</ErrorBoundary>;
  return (
    <>
      <Title title="This screen cannot be shown" />
      <ProblemBox problem={asProblem(error)}>
        <button type="button" onClick={() => location.reload()}>
          Load the page anew
        </button>
      </ProblemBox>
    </>
  );
}

function NotFound() {
  return (
    <Empty title="Nothing is here">
      <p>
        The address may be mistyped. <a href="/dashboard/">All tickets</a>
      </p>
    </Empty>
  );
}
