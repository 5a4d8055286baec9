/** Each agent's way to the newest state, in short. */

import type { AgentView } from "../api/messages";
import { DownloadProgress } from "../fleet/download-progress";
import { Issues } from "../fleet/issues";
import { byName } from "../fleet/order";
import { statusOf } from "../fleet/status";
import { Card } from "../ui/card";
import { Pill } from "../ui/pill";
import { Muted } from "../ui/text";
import * as styles from "./fleet-progress.module.css";

export function FleetProgress({ agents }: { agents: readonly AgentView[] }) {
  return (
    <Card stacked aria-labelledby="fleet-title">
      <h2 id="fleet-title">Agents</h2>
      {agents.length === 0 ? (
        <Muted>
          No agent is connected. What you apply is kept and given to agents as they join.
        </Muted>
      ) : (
        <ul class={styles.agents}>
          {byName(agents).map((agent) => {
            const status = statusOf(agent);
            return (
              <li key={agent.id}>
                <p class={styles.line}>
                  <span>{agent.name ?? agent.id}</span>
                  <Pill tone={status.tone}>{status.text}</Pill>
                </p>
                <DownloadProgress download={agent.download} />
                <Issues issues={agent.issues} />
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
