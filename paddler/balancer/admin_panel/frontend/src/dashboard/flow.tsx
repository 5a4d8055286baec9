/** From inference through the buffer to the agents' slots, in three figures. */

import type { DashboardSnapshot } from "../api/messages";
import { count, milliseconds, plural, rate } from "../ui/format";

export function Flow({ dashboard }: { dashboard: DashboardSnapshot }) {
  const { buffer, agents } = dashboard;
  const isFull = buffer.capacity > 0 && buffer.waiting >= buffer.capacity;
  return (
    <section class="flow" aria-label="Requests on their way">
      <div class="flow-step">
        <h2>Inference</h2>
        <p class="figure" data-testid="tokens-per-second">
          {rate(dashboard.tokens_per_s)} <small>tokens/s</small>
        </p>
        <p class="muted">{plural(dashboard.slots_processing, "request")} running</p>
      </div>
      <Arrow />
      <div class={isFull ? "flow-step flow-full" : "flow-step"}>
        <h2>Buffer</h2>
        <p class="figure" data-testid="buffered">
          {count(buffer.waiting)}{" "}
          <small>{buffer.capacity > 0 ? `of ${count(buffer.capacity)} waiting` : "waiting"}</small>
        </p>
        {buffer.capacity > 0 ? (
          <meter
            min={0}
            max={buffer.capacity}
            value={Math.min(buffer.waiting, buffer.capacity)}
            aria-label="Buffer in use"
          />
        ) : null}
        <p class="muted">
          {buffer.capacity > 0
            ? `at most ${milliseconds(buffer.timeout_ms)} each`
            : "off: requests find a free slot or are refused"}
        </p>
      </div>
      <Arrow />
      <div class="flow-step">
        <h2>Slots</h2>
        <p class="figure" data-testid="slots">
          {count(dashboard.slots_processing)} <small>of {count(dashboard.slots_total)} busy</small>
        </p>
        <p class="muted">on {plural(agents.length, "agent")}</p>
      </div>
    </section>
  );
}

function Arrow() {
  return (
    <svg class="flow-arrow" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M4 12h15M13 6l6 6-6 6" />
    </svg>
  );
}
