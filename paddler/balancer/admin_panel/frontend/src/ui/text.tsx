/** Texts that stand back, and those that nobody sees. */

import type { Attributes } from "./attributes";
import { classes } from "./classes";
import * as styles from "./text.module.css";

export function Muted({
  tag: Tag = "p",
  class: more,
  ...rest
}: Attributes & { tag?: "p" | "span" }) {
  return <Tag {...rest} class={classes(styles.muted, more)} />;
}

/** What a control means. */
export function Hint({ class: more, ...rest }: Attributes) {
  return <p {...rest} class={classes(styles.hint, more)} />;
}

/** What is wrong, where it is wrong. */
export function Problem(props: Omit<Attributes, "class">) {
  return <p {...props} class={styles.problem} />;
}

/** How something went; nothing is seen of it before. */
export function Outcome({ isGood, ...rest }: Omit<Attributes, "class"> & { isGood: boolean }) {
  return (
    <p
      {...rest}
      role="status"
      class={classes(styles.outcome, isGood ? styles.muted : styles.problem)}
    />
  );
}

/** For those who listen to the page. */
export function Unseen({
  tag: Tag = "span",
  ...rest
}: Omit<Attributes, "class"> & { tag?: "span" | "p" | "legend" }) {
  return <Tag {...rest} class={styles.unseen} />;
}

/** Text as it was written, line breaks included. */
export function AsWritten({ class: more, ...rest }: Attributes) {
  return <p {...rest} class={classes(styles.asWritten, more)} />;
}
