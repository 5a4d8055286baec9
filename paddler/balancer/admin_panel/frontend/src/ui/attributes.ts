import type { HTMLAttributes } from "preact";

/** What may be said of an element, whichever it is; `class` adds to what it has. */
export type Attributes = Omit<HTMLAttributes<HTMLElement>, "class" | "ref"> & {
  class?: string | undefined;
};
