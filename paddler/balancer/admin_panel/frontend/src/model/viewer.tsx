import type { ComponentChildren } from "preact";
import { classes } from "../ui/classes";
import { ScrollRegion } from "../ui/scroll-region";
import * as styles from "./viewer.module.css";

/** Something long, to be looked through. */
export function Viewer({
  label,
  tag,
  wrapped = false,
  children,
}: {
  label: string;
  tag: "div" | "pre";
  /** Long lines are broken. */
  wrapped?: boolean;
  children: ComponentChildren;
}) {
  return (
    <ScrollRegion tag={tag} label={label} class={classes(styles.viewer, wrapped && styles.wrapped)}>
      {children}
    </ScrollRegion>
  );
}
