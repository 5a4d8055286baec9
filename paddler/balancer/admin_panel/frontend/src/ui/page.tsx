import type { ComponentChildren } from "preact";
import { classes } from "./classes";
import * as styles from "./page.module.css";

export function Page({
  class: more,
  children,
}: {
  class?: string | undefined;
  children: ComponentChildren;
}) {
  return <div class={classes(styles.page, more)}>{children}</div>;
}

/** A heading, and what stands beside it. */
export function Head({
  tall = false,
  class: more,
  children,
}: {
  /** Leaves room for what comes and goes beside it, so that nothing moves. */
  tall?: boolean;
  class?: string | undefined;
  children: ComponentChildren;
}) {
  return <div class={classes(styles.head, tall && styles.tall, more)}>{children}</div>;
}
