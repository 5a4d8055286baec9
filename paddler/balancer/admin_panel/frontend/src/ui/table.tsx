import type { ComponentChildren } from "preact";
import { classes } from "./classes";
import * as styles from "./table.module.css";

export function Table({
  class: more,
  children,
  "data-testid": testId,
}: {
  class?: string | undefined;
  children: ComponentChildren;
  "data-testid"?: string;
}) {
  return (
    <table class={classes(styles.table, more)} data-testid={testId}>
      {children}
    </table>
  );
}
