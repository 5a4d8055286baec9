import { classes } from "../ui/classes";
import { ScrollRegion } from "../ui/scroll-region";
import { Table } from "../ui/table";
import { Unseen } from "../ui/text";
import type { Change } from "./changes";
import * as styles from "./changes-view.module.css";
import type { LineChange } from "./line-changes";

const MARK = { same: " ", added: "+", removed: "−" } as const;
const LOOKS = { same: undefined, added: styles.added, removed: styles.removed };
const SPOKEN = { same: "", added: "added: ", removed: "removed: " } as const;

export function ChangesView({ changes, lines }: { changes: Change[]; lines: LineChange[] }) {
  return (
    <div class={styles.changes} data-testid="changes">
      {changes.length > 0 && (
        <ScrollRegion label="Changed settings">
          <Table class={styles.table}>
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
                  <td class={styles.before}>{change.before}</td>
                  <td>{change.after}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </ScrollRegion>
      )}
      {lines.length > 0 && (
        <ScrollRegion tag="pre" label="Changed lines of the chat template" class={styles.lines}>
          {lines.map((line, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing but their place
            <span key={index} class={classes(styles.line, LOOKS[line.kind])}>
              <span aria-hidden="true">{MARK[line.kind]} </span>
              <Unseen>{SPOKEN[line.kind]}</Unseen>
              {line.text}
              {"\n"}
            </span>
          ))}
        </ScrollRegion>
      )}
    </div>
  );
}
