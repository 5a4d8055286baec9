import type { ComponentChildren, RefObject } from "preact";
import { classes } from "./classes";
import * as styles from "./scroll-region.module.css";

/**
 * Content that may be larger than its place. It takes the focus, as else the
 * keyboard could not scroll it, and so it needs a name.
 */
export function ScrollRegion({
  label,
  tag: Tag = "div",
  box,
  log = false,
  class: more,
  children,
  "data-testid": testId,
}: {
  label: string;
  tag?: "div" | "pre";
  /** The element itself. */
  box?: RefObject<HTMLElement>;
  /** It grows at its end; whoever listens is told by other means. */
  log?: boolean;
  class?: string | undefined;
  children: ComponentChildren;
  "data-testid"?: string;
}) {
  return (
    <Tag
      ref={(box as RefObject<never> | undefined) ?? null}
      class={classes(styles.region, more)}
      role={log ? "log" : "group"}
      aria-live={log ? "off" : undefined}
      aria-label={label}
      tabIndex={0}
      data-testid={testId}
    >
      {children}
    </Tag>
  );
}
