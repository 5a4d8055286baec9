/** Where people type and choose, without the label that belongs to it: see `field`. */

import type { InputHTMLAttributes, SelectHTMLAttributes, TextareaHTMLAttributes } from "preact";
import { classes } from "./classes";
import * as styles from "./control.module.css";

interface Look {
  /** A font whose letters are all as wide. */
  code?: boolean | undefined;
  /** What is typed makes no sense yet. */
  wrong?: boolean | undefined;
  class?: string | undefined;
}

const classOf = ({ code, wrong, class: more }: Look): string =>
  classes(styles.control, code && styles.code, wrong && styles.wrong, more);

export function Input({
  code,
  wrong,
  class: more,
  ...rest
}: Look & Omit<InputHTMLAttributes<HTMLInputElement>, "class">) {
  return <input {...rest} class={classOf({ code, wrong, class: more })} />;
}

export function TextArea({
  code,
  wrong,
  class: more,
  ...rest
}: Look & Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, "class">) {
  return <textarea {...rest} class={classOf({ code, wrong, class: more })} />;
}

export function Select({
  class: more,
  ...rest
}: Look & Omit<SelectHTMLAttributes<HTMLSelectElement>, "class">) {
  return <select {...rest} class={classOf({ class: more })} />;
}
