import type { Change } from "./changes";
import type { LineChange } from "./line-changes";

const MARK = { same: " ", added: "+", removed: "−" } as const;
const SPOKEN = { same: "", added: "added: ", removed: "removed: " } as const;

export function ChangesView({ changes, lines }: { changes: Change[]; lines: LineChange[] }) {
  return (
    <div class="changes" data-testid="changes">
      {changes.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Changed settings">
          <table>
            <thead>
              <tr>
                <th scope="col">Setting</th>
                <th scope="col">Now</th>
                <th scope="col">Then</th>
              </tr>
            </thead>
            <tbody>
              {changes.map((change) => (
                <tr key={change.name}>
                  <th scope="row">{change.name}</th>
                  <td class="before">{change.before}</td>
                  <td class="after">{change.after}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {lines.length > 0 && (
        <pre class="line-changes" tabIndex={0} aria-label="Changed lines of the chat template">
          {lines.map((line, index) => (
            <span key={index} class={`line line-${line.kind}`}>
              <span aria-hidden="true">{MARK[line.kind]} </span>
              <span class="visually-hidden">{SPOKEN[line.kind]}</span>
              {line.text}
              {"\n"}
            </span>
          ))}
        </pre>
      )}
    </div>
  );
}
