import type { AgentView, ModelView } from "../api/messages";
import { DownloadProgress } from "../fleet/download-progress";
import { Issues } from "../fleet/issues";
import { statusOf } from "../fleet/status";
import { Card } from "../ui/card";
import { bytes, count, parameters, rate } from "../ui/format";
import { Pill } from "../ui/pill";
import { Muted } from "../ui/text";
import * as styles from "./agent-card.module.css";
import { Slots } from "./slots";

export function AgentCard({ agent }: { agent: AgentView }) {
  const status = statusOf(agent);
  const label = agent.name ?? "unnamed agent";
  return (
    <Card tag="li" class={styles.agent} data-testid="agent" aria-label={label}>
      <div class={styles.head}>
        <h3>{label}</h3>
        <Pill tone={status.tone}>{status.text}</Pill>
        {agent.model !== null && (
          <span class={styles.rate}>
            {rate(agent.tokens_per_s)} <small>tokens/s</small>
          </span>
        )}
      </div>
      <ModelLine model={agent.model} />
      {agent.slots.length > 0 && <Slots slots={agent.slots} />}
      <DownloadProgress download={agent.download} />
      <Issues issues={agent.issues} />
      <details>
        <summary>Details</summary>
        <dl class={styles.facts}>
          <Fact name="Id" value={agent.id} />
          <Fact
            name="Slots"
            value={`${agent.slots.length} ready of ${agent.slots_desired} asked for`}
          />
          {agent.model !== null && (
            <>
              <Fact name="Context" value={`${count(agent.model.context_tokens)} tokens per slot`} />
              <Fact
                name="Size"
                value={`${parameters(agent.model.n_parameters)}, ${bytes(agent.model.size_bytes)}`}
              />
              <Fact name="Serves" value={servesText(agent.model)} />
            </>
          )}
          {agent.prefill_tokens_per_s !== null && (
            <Fact name="Prefill" value={`${rate(agent.prefill_tokens_per_s)} tokens/s`} />
          )}
          <Fact name="Parked conversations" value={bytes(agent.prompt_cache_bytes)} />
          <Fact name="Paddler" value={agent.paddler_version} />
          <Fact name="llama.cpp" value={agent.llama_cpp_version} />
        </dl>
      </details>
    </Card>
  );
}

function servesText(model: ModelView): string {
  const kinds = [
    model.can_generate && "text",
    model.can_embed && "embeddings",
    model.supports_images && "images",
  ].filter(Boolean);
  return kinds.length > 0 ? kinds.join(", ") : "nothing";
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function ModelLine({ model }: { model: ModelView | null }) {
  if (model === null) return <Muted class={styles.noModel}>no model</Muted>;
  return (
    <p class={styles.model} title={model.path}>
      <bdi>{model.path}</bdi>
    </p>
  );
}
