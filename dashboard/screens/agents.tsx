import { Loading, ProblemBox } from '../components/feedback.tsx';
import { Badge } from '../components/state.tsx';
import { Title } from '../components/title.tsx';
import { agents } from '../lib/queries.ts';
import { useResource } from '../lib/resource.ts';

export function Agents() {
  const { data, problem, loading, reload } = useResource(agents);
  return (
    <>
      <Title title="Agents">
        <button type="button" disabled={loading} onClick={reload}>
          Refresh
        </button>
      </Title>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="agents" />}
      <div class="cards">
        {data?.items.map((agent) => (
          <section key={agent.name} class="card">
            <h2>{agent.title}</h2>
            <p>
              {agent.healthy ? <Badge tone="good">Healthy</Badge> : <Badge tone="bad">Unavailable</Badge>}
              {agent.default && <span class="muted"> Default agent</span>}
            </p>
            {agent.detail !== undefined && <p>{agent.detail}</p>}
            {agent.remedy !== undefined && <p class="muted">{agent.remedy}</p>}
            <dl class="pairs">
              <dt>Name</dt>
              <dd class="mono">{agent.name}</dd>
              <dt>Version</dt>
              <dd class="mono">{agent.version ?? 'unknown'}</dd>
              <dt>Sandbox</dt>
              <dd class="mono">{agent.sandbox}</dd>
            </dl>
          </section>
        ))}
      </div>
    </>
  );
}
