/** From inference through the buffer to the agents' slots, in three figures. */

import type { ComponentChildren } from "preact";
import type { DashboardSnapshot } from "../api/messages";
import { Meter } from "../ui/bar";
import { classes } from "../ui/classes";
import { count, milliseconds, plural, rate } from "../ui/format";
import { Muted } from "../ui/text";
import * as styles from "./flow.module.css";

export function Flow({ dashboard }: { dashboard: DashboardSnapshot }) {
  const { buffer, agents } = dashboard;
  const isFull = buffer.capacity > 0 && buffer.waiting >= buffer.capacity;
  return (
    <section class={styles.flow} aria-label="Requests on their way">
      <Step title="Inference">
        <p class={styles.figure} data-testid="tokens-per-second">
          {rate(dashboard.tokens_per_s)} <small>tokens/s</small>
        </p>
        <Muted>{plural(dashboard.slots_processing, "request")} running</Muted>
      </Step>
      <Arrow />
      <Step title="Buffer" isFull={isFull}>
        <p class={styles.figure} data-testid="buffered">
          {count(buffer.waiting)}{" "}
          <small>{buffer.capacity > 0 ? `of ${count(buffer.capacity)} waiting` : "waiting"}</small>
        </p>
        {buffer.capacity > 0 && (
          <Meter
            label="Buffer in use"
            value={Math.min(buffer.waiting, buffer.capacity)}
            max={buffer.capacity}
          />
        )}
        <Muted>
          {buffer.capacity > 0
            ? `at most ${milliseconds(buffer.timeout_ms)} each`
            : "off: requests find a free slot or are refused"}
        </Muted>
      </Step>
      <Arrow />
      <Step title="Slots">
        <p class={styles.figure} data-testid="slots">
          {count(dashboard.slots_processing)} <small>of {count(dashboard.slots_total)} busy</small>
        </p>
        <Muted>on {plural(agents.length, "agent")}</Muted>
      </Step>
    </section>
  );
}

function Step({
  title,
  isFull = false,
  children,
}: {
  title: string;
  isFull?: boolean;
  children: ComponentChildren;
}) {
  return (
    <div class={classes(styles.step, isFull && styles.full)}>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

function Arrow() {
  return (
    <svg class={styles.arrow} viewBox="0 0 24 24" aria-hidden="true">
      <path d="M4 12h15M13 6l6 6-6 6" />
    </svg>
  );
}
