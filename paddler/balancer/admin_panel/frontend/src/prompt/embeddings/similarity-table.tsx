import { count, milliseconds } from "../../ui/format";
import { ScrollRegion } from "../../ui/scroll-region";
import { Table } from "../../ui/table";
import { Problem } from "../../ui/text";
import type { Similarity } from "./similarity";
import * as styles from "./similarity-table.module.css";

/** The more alike, the more strongly a cell is coloured. */
const HEATS = [undefined, styles.heat1, styles.heat2, styles.heat3, styles.heat4, styles.heat5];

export function SimilarityTable({ similarity }: { similarity: Similarity }) {
  const { cosines, dimensions, tookMs, problems } = similarity;
  return (
    <>
      <ScrollRegion label="Similarity of documents">
        <Table class={styles.similarity} data-testid="similarity">
          <caption>
            Cosine similarity · {count(dimensions)} dimensions · {milliseconds(tookMs)}
          </caption>
          <thead>
            <tr>
              <td />
              {cosines.map((_row, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a document is known by its number
                <th key={index} scope="col">
                  {index + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {cosines.map((row, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a document is known by its number
              <tr key={index}>
                <th scope="row">{index + 1}</th>
                {row.map((value, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: a document is known by its number
                  <td key={at} class={value === null ? undefined : HEATS[heatOf(value)]}>
                    {value === null ? "–" : value.toFixed(3)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </Table>
      </ScrollRegion>
      {problems.map((problem) => (
        <Problem key={problem}>{problem}</Problem>
      ))}
    </>
  );
}

function heatOf(cosine: number): number {
  return Math.round(Math.min(Math.max(cosine, 0), 1) * (HEATS.length - 1));
}
