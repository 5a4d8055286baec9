import type { Attributes } from "./attributes";
import * as styles from "./card.module.css";
import { classes } from "./classes";

interface Props extends Attributes {
  tag?: "section" | "div" | "li" | "form" | "figure" | "aside";
  /** Its contents one below the other, evenly apart. */
  stacked?: boolean;
}

export function Card({ tag: Tag = "section", stacked = false, class: more, ...rest }: Props) {
  return <Tag {...rest} class={classes(styles.card, stacked && styles.stacked, more)} />;
}
