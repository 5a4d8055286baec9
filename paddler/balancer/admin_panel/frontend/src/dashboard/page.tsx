/** What an operator keeps open: the flow of requests, the agents, the last minutes. */

import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { byName } from "../fleet/order";
import { Rollout } from "../fleet/rollout";
import type { Store } from "../store/store";
import { useStore } from "../store/use-store";
import { Head, Page } from "../ui/page";
import { Muted } from "../ui/text";
import type { Theme } from "../ui/theme";
import { AgentCard } from "./agent-card";
import { Charts } from "./charts";
import { EmptyFleet } from "./empty-fleet";
import { Flow } from "./flow";
import * as styles from "./page.module.css";

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
    <Page>
      <h1>Dashboard</h1>
      {dashboard === null ? (
        <Muted>Waiting for the balancer…</Muted>
      ) : (
        <>
          <Flow dashboard={dashboard} />
          <section aria-labelledby="agents-title">
            <Head tall>
              <h2 id="agents-title">Agents</h2>
              <Muted tag="span" data-testid="agent-count">
                {dashboard.agents.length} connected
              </Muted>
              <Rollout dashboard={dashboard} inline />
            </Head>
            {dashboard.agents.length === 0 ? (
              <EmptyFleet managementUrl={services.config.managementUrl} />
            ) : (
              <ul class={styles.agents}>
                {byName(dashboard.agents).map((agent) => (
                  <AgentCard key={agent.id} agent={agent} />
                ))}
              </ul>
            )}
          </section>
          <Charts live={live} theme={theme} />
        </>
      )}
    </Page>
  );
}
