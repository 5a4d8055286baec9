import type { DashboardSnapshot } from "../api/messages";
import { Progress } from "../ui/bar";
import { Card } from "../ui/card";
import { classes } from "../ui/classes";
import { plural } from "../ui/format";
import { Muted } from "../ui/text";
import * as styles from "./rollout.module.css";

/** How far the newest state got over the fleet, while it is on its way. */
export function Rollout({
  dashboard,
  inline = false,
}: {
  dashboard: DashboardSnapshot;
  /** Beside a heading, where it takes one line. */
  inline?: boolean;
}) {
  const { applied, applying, failed, kept_back: keptBack, waiting } = dashboard.rollout;
  const total = applied + applying + failed + keptBack + waiting;
  if (total === 0 || applied === total) return null;
  const stopped = failed > 0 && applied === 0;
  return (
    <Card
      stacked={!inline}
      class={classes(inline && styles.inline, stopped && styles.stopped)}
      aria-label="Rollout of the newest state"
      data-testid="rollout"
    >
      <p>
        <strong>{stopped ? "The new state failed." : "The new state is on its way."}</strong>{" "}
        {stopped && keptBack > 0
          ? `The state before stays with ${plural(keptBack, "agent")} until it is corrected.`
          : `It is served by ${applied} of ${plural(total, "agent")}.`}
      </p>
      <Progress
        label="Agents that serve the new state"
        value={applied}
        max={total}
        class={inline ? styles.short : undefined}
      />
      <Muted>
        {[
          applying > 0 && `${applying} swapping`,
          waiting > 0 && `${waiting} waiting for their turn`,
          keptBack > 0 && `${keptBack} kept back`,
          failed > 0 && `${failed} failed`,
        ]
          .filter(Boolean)
          .join(" · ")}
      </Muted>
    </Card>
  );
}
