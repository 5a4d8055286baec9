/** Each agent's way to the newest state, in short. */

import type { AgentView } from "../api/messages";
import { DownloadProgress } from "../fleet/download-progress";
import { Issues } from "../fleet/issues";
import { byName } from "../fleet/order";
import { statusOf } from "../fleet/status";

export function FleetProgress({ agents }: { agents: readonly AgentView[] }) {
  return (
    <section class="card" aria-labelledby="fleet-title">
      <h2 id="fleet-title">Agents</h2>
      {agents.length === 0 ? (
        <p class="muted">
          No agent is connected. What you apply is kept and given to agents as they join.
        </p>
      ) : (
        <ul class="fleet-progress">
          {byName(agents).map((agent) => {
            const status = statusOf(agent);
            return (
              <li key={agent.id}>
                <p class="fleet-line">
                  <span>{agent.name ?? agent.id}</span>
                  <span class={`pill pill-${status.tone}`}>{status.text}</span>
                </p>
                <DownloadProgress download={agent.download} />
                <Issues issues={agent.issues} />
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}
