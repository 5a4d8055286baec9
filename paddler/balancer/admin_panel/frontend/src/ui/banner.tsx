import type { Attributes } from "./attributes";
import * as styles from "./banner.module.css";
import { classes } from "./classes";

interface Props extends Attributes {
  tone: "good" | "warning" | "bad";
}

const TONES = { good: styles.good, warning: styles.warning, bad: styles.bad };

/** One thing that a page has to tell. */
export function Banner({ tone, class: more, ...rest }: Props) {
  return <p {...rest} class={classes(styles.banner, TONES[tone], more)} />;
}
