import type { ComponentChildren } from "preact";
import * as styles from "./callout.module.css";

/** Something that is wrong, in a sentence, with what there is to say about it. */
export function Callout({
  summary,
  children,
  role,
  "data-testid": testId,
}: {
  summary: string;
  children: ComponentChildren;
  role?: "alert";
  "data-testid"?: string;
}) {
  return (
    <div class={styles.bad} role={role} data-testid={testId}>
      <p class={styles.summary}>{summary}</p>
      {children}
    </div>
  );
}

/** Something to consider. */
export function Note({
  children,
  "data-testid": testId,
}: {
  children: ComponentChildren;
  "data-testid"?: string;
}) {
  return (
    <div class={styles.note} role="status" data-testid={testId}>
      {children}
    </div>
  );
}

/** What a program said, word for word. */
export function Verbatim({ children }: { children: string }) {
  return <pre class={styles.verbatim}>{children}</pre>;
}
