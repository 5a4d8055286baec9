import type { Live } from "../api/live";
import { useStore } from "../store/use-store";
import { classes } from "../ui/classes";
import { Pulse } from "../ui/pulse";
import * as styles from "./connection-state.module.css";

const TEXTS = { connecting: "Connecting", up: "Live", down: "Reconnecting" };
const DOTS = { connecting: undefined, up: styles.up, down: styles.down };

/** Whether what is shown is what there is. */
export function ConnectionState({ live }: { live: Live }) {
  const connection = useStore(live.connection);
  return (
    <span class={styles.connection} data-testid="connection">
      <Pulse still={connection === "up"} class={classes(styles.dot, DOTS[connection])} />
      {TEXTS[connection]}
    </span>
  );
}
