import type { IssueView } from "../api/messages";
import { Callout, Verbatim } from "../ui/callout";
import * as styles from "./issues.module.css";

/** What is wrong with an agent, and what to do about it. */
export function Issues({ issues }: { issues: readonly IssueView[] }) {
  if (issues.length === 0) return null;
  return (
    <ul class={styles.issues} aria-label="Issues">
      {issues.map((issue) => (
        <li key={`${issue.kind} ${issue.subject}`}>
          <Callout summary={issue.summary} data-testid="issue">
            <p>{issue.advice}</p>
            {issue.error !== null && <Verbatim>{issue.error}</Verbatim>}
            <p class={styles.subject}>
              <code>{issue.kind}</code> <bdi>{issue.subject}</bdi>
            </p>
          </Callout>
        </li>
      ))}
    </ul>
  );
}
