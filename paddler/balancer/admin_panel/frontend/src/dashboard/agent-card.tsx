import type { AgentView, ModelView, SlotView } from "../api/messages";
import { DownloadProgress } from "../fleet/download-progress";
import { Issues } from "../fleet/issues";
import { statusOf } from "../fleet/status";
import { bytes, count, parameters, rate } from "../ui/format";

export function AgentCard({ agent }: { agent: AgentView }) {
  const status = statusOf(agent);
  const label = agent.name ?? "unnamed agent";
  return (
    <li class="card agent" data-testid="agent" aria-label={label}>
      <div class="agent-head">
        <h3>{label}</h3>
        <span class={`pill pill-${status.tone}`}>{status.text}</span>
        {agent.model !== null && (
          <span class="agent-rate">
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
        <dl class="facts">
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
    </li>
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
  if (model === null) return <p class="agent-model muted">no model</p>;
  return (
    <p class="agent-model" title={model.path}>
      <bdi>{model.path}</bdi>
    </p>
  );
}

const SLOT_TEXT = { free: "free", prefill: "reading a prompt", decode: "generating" } as const;

function Slots({ slots }: { slots: readonly SlotView[] }) {
  const cached = slots.filter((slot) => slot.state === "free" && slot.cached_tokens > 0).length;
  const busy = (state: SlotView["state"]) => slots.filter((slot) => slot.state === state).length;
  return (
    <div class="slots-block">
      <ol class="slots" aria-label="Slots">
        {slots.map((slot, index) => (
          <li
            key={index}
            class={`slot slot-${slot.state === "free" && slot.cached_tokens > 0 ? "cached" : slot.state}`}
            title={slotTitle(slot, index)}
          >
            <span class="visually-hidden">{slotTitle(slot, index)}</span>
          </li>
        ))}
      </ol>
      <p class="legend">
        <Key of="decode" n={busy("decode")} text="generating" />
        <Key of="prefill" n={busy("prefill")} text="prefilling" />
        <Key of="cached" n={cached} text="cached" />
        <Key of="free" n={busy("free") - cached} text="free" />
      </p>
    </div>
  );
}

function Key({ of, n, text }: { of: string; n: number; text: string }) {
  return (
    <span class="legend-key">
      <span class={`slot slot-${of}`} aria-hidden="true" />
      {n} {text}
    </span>
  );
}

function slotTitle(slot: SlotView, index: number): string {
  const cached = slot.cached_tokens > 0 ? `, ${count(slot.cached_tokens)} tokens cached` : "";
  return `Slot ${index}: ${SLOT_TEXT[slot.state]}${cached}`;
}
