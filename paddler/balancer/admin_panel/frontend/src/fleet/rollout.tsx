/** How far the newest state got over the fleet, while it is on its way. */

import type { DashboardSnapshot } from "../api/messages";
import { plural } from "../ui/format";

export function Rollout({ dashboard }: { dashboard: DashboardSnapshot }) {
  const { applied, applying, failed, kept_back: keptBack, waiting } = dashboard.rollout;
  const total = applied + applying + failed + keptBack + waiting;
  if (total === 0 || applied === total) return null;
  const stopped = failed > 0 && applied === 0;
  return (
    <section
      class={stopped ? "card rollout rollout-stopped" : "card rollout"}
      aria-label="Rollout of the newest state"
      data-testid="rollout"
    >
      <p>
        <strong>{stopped ? "The new state failed." : "The new state is on its way."}</strong>{" "}
        {stopped && keptBack > 0
          ? `The state before stays with ${plural(keptBack, "agent")} until it is corrected.`
          : `It is served by ${applied} of ${plural(total, "agent")}.`}
      </p>
      <progress max={total} value={applied} aria-label="Agents that serve the new state" />
      <p class="muted">
        {[
          applying > 0 && `${applying} swapping`,
          waiting > 0 && `${waiting} waiting for their turn`,
          keptBack > 0 && `${keptBack} kept back`,
          failed > 0 && `${failed} failed`,
        ]
          .filter(Boolean)
          .join(" · ")}
      </p>
    </section>
  );
}
