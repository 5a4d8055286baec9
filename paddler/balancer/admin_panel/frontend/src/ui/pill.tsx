import { classes } from "./classes";
import * as styles from "./pill.module.css";

export type Tone = "good" | "busy" | "bad" | "idle";

const TONES = { good: styles.good, busy: styles.busy, bad: styles.bad, idle: styles.idle };

export function Pill({ tone, children }: { tone: Tone; children: string }) {
  return <span class={classes(styles.pill, TONES[tone])}>{children}</span>;
}
