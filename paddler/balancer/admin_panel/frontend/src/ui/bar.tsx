import * as styles from "./bar.module.css";
import { classes } from "./classes";

/** How far something got; `value` null while that is not known. */
export function Progress({
  label,
  value,
  max,
  class: more,
}: {
  label: string;
  value: number | null;
  max: number;
  class?: string | undefined;
}) {
  return (
    <progress
      aria-label={label}
      class={classes(styles.bar, more)}
      {...(value === null ? {} : { value, max })}
    />
  );
}

/** How much of something is in use. */
export function Meter({ label, value, max }: { label: string; value: number; max: number }) {
  return <meter aria-label={label} class={styles.bar} min={0} max={max} value={value} />;
}
