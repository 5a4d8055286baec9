import type { ComponentChildren } from "preact";
import * as styles from "./actions.module.css";

/** Buttons in a row. */
export function Actions({ children }: { children: ComponentChildren }) {
  return <div class={styles.actions}>{children}</div>;
}
