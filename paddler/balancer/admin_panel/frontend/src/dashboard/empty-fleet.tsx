/** No agent yet: how to start one. */

import { Card } from "../ui/card";
import { CopyBlock } from "../ui/copy";
import * as styles from "./empty-fleet.module.css";

export function EmptyFleet({ managementUrl }: { managementUrl: string }) {
  const address = new URL(managementUrl).host;
  return (
    <Card tag="div" class={styles.empty} data-testid="no-agents">
      <h3>No agent is connected</h3>
      <p>
        Agents run the model, one per machine. Start one where the memory (or the GPU) is; it
        connects to this balancer and appears here by itself.
      </p>
      <CopyBlock
        label="Command that starts an agent"
        text={`paddler agent --management-addr ${address} --slots 4 --name agent-1`}
      />
      <p>
        Then choose what it serves on the <a href="#/model">Model</a> page. Requests that arrive
        meanwhile wait in the buffer.
      </p>
    </Card>
  );
}
