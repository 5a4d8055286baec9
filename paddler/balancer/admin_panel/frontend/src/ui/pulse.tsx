import { classes } from "./classes";
import * as styles from "./pulse.module.css";

/** A mark for something that is going on. */
export function Pulse({
  still = false,
  class: more,
}: {
  still?: boolean;
  class?: string | undefined;
}) {
  return <span class={classes(!still && styles.pulse, more)} aria-hidden="true" />;
}
