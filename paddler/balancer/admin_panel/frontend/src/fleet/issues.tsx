import type { IssueView } from "../api/messages";

export function Issues({ issues }: { issues: readonly IssueView[] }) {
  if (issues.length === 0) return null;
  return (
    <ul class="issues" aria-label="Issues">
      {issues.map((issue) => (
        <li key={`${issue.kind} ${issue.subject}`} class="issue" data-testid="issue">
          <p class="issue-summary">{issue.summary}</p>
          <p>{issue.advice}</p>
          {issue.error !== null && <pre class="issue-error">{issue.error}</pre>}
          <p class="issue-subject">
            <code>{issue.kind}</code> <bdi>{issue.subject}</bdi>
          </p>
        </li>
      ))}
    </ul>
  );
}
