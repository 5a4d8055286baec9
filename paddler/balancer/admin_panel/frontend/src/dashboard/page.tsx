/** What an operator keeps open: the flow of requests, the agents, the last minutes. */

import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { byName } from "../fleet/order";
import { Rollout } from "../fleet/rollout";
import type { Store } from "../store/store";
import { useStore } from "../store/use-store";
import type { Theme } from "../ui/theme";
import { AgentCard } from "./agent-card";
import { Charts } from "./charts";
import { EmptyFleet } from "./empty-fleet";
import { Flow } from "./flow";

export function DashboardPage({
  live,
  services,
  theme,
}: {
  live: Live;
  services: Services;
  theme: Store<Theme>;
}) {
  const dashboard = useStore(live.dashboard);
  return (
    <div class="page dashboard">
      <h1>Dashboard</h1>
      {dashboard === null ? (
        <p class="muted">Waiting for the balancer…</p>
      ) : (
        <>
          <Flow dashboard={dashboard} />
          <section aria-labelledby="agents-title">
            <div class="section-head">
              <h2 id="agents-title">Agents</h2>
              <span class="muted" data-testid="agent-count">
                {dashboard.agents.length} connected
              </span>
              <Rollout dashboard={dashboard} />
            </div>
            {dashboard.agents.length === 0 ? (
              <EmptyFleet managementUrl={services.config.managementUrl} />
            ) : (
              <ul class="agents">
                {byName(dashboard.agents).map((agent) => (
                  <AgentCard key={agent.id} agent={agent} />
                ))}
              </ul>
            )}
          </section>
          <Charts live={live} theme={theme} />
        </>
      )}
    </div>
  );
}
