import type { ButtonHTMLAttributes } from "preact";
import * as styles from "./button.module.css";
import { classes } from "./classes";

interface Props extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "class"> {
  look?: "plain" | "primary" | "quiet";
  small?: boolean;
  class?: string | undefined;
}

const LOOKS = { plain: undefined, primary: styles.primary, quiet: styles.quiet };

export function Button({
  look = "plain",
  small = false,
  type = "button",
  class: more,
  ...rest
}: Props) {
  return (
    <button
      {...rest}
      type={type}
      class={classes(styles.button, LOOKS[look], small && styles.small, more)}
    />
  );
}
