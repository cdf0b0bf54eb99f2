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
  const [attempts, setAttempts] = useState(0);
  const current = session.value;
  useEffect(() => {
    loadSession().then(
      () => setProblem(undefined),
      (error) => setProblem(asProblem(error)),
    );
  }, [attempts]);

  if (current === undefined && problem !== undefined) {
    return (
      <main class="standalone">
        <ProblemBox problem={problem}>
          <button type="button" onClick={() => setAttempts(attempts + 1)}>
            Try again
          </button>
        </ProblemBox>
      </main>
    );
  }
  if (current === undefined) return <Loading label="the dashboard" />;
  if (!current.signed_in) return <SignIn />;
  return <SignedIn key={current.key_id} />;
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
        <PageBoundary>
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
        </PageBoundary>
      </Shell>
    </LocationProvider>
  );
}

/** Replaces a page that fails to load or render by an error, until the reader opens another one. */
function PageBoundary({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const [error, reset] = useErrorBoundary();
  useEffect(reset, [path]);
  if (error === undefined) return <ErrorBoundary>{children}</ErrorBoundary>;
  return (
    <>
      <Title title="This page cannot be displayed" />
      <ProblemBox problem={asProblem(error)}>
        <button type="button" onClick={() => location.reload()}>
          Reload page
        </button>
      </ProblemBox>
    </>
  );
}

function NotFound() {
  return (
    <Empty title="Page not found">
      <p>
        Check the address, or return to <a href="/dashboard/">all tickets</a>.
      </p>
    </Empty>
  );
}
