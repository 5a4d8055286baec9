/** Which lines of a text became others. */

export interface LineChange {
  kind: "same" | "added" | "removed";
  text: string;
}

/** Above this, lines are not compared one by one: the table would grow with the square. */
const MAX_COMPARED_LINES = 800;

export function linesOf(text: string): string[] {
  return text === "" ? [] : text.split("\n");
}

/** Every line, with what became of it; removed ones stand before those that replace them. */
export function compareLines(from: readonly string[], to: readonly string[]): LineChange[] {
  if (from.length > MAX_COMPARED_LINES || to.length > MAX_COMPARED_LINES) {
    return [
      { kind: "removed", text: `${from.length} lines` },
      { kind: "added", text: `${to.length} lines` },
    ];
  }
  const common = commonLengths(from, to);
  const lines: LineChange[] = [];
  let i = 0;
  let j = 0;
  while (true) {
    const [before, after] = [from[i], to[j]];
    if (before === undefined && after === undefined) return lines;
    if (before !== undefined && before === after) {
      lines.push({ kind: "same", text: before });
      i += 1;
      j += 1;
    } else if (
      before !== undefined &&
      (after === undefined || common(i + 1, j) >= common(i, j + 1))
    ) {
      lines.push({ kind: "removed", text: before });
      i += 1;
    } else {
      lines.push({ kind: "added", text: after ?? "" });
      j += 1;
    }
  }
}

/** The changed lines, with one of context around them. */
export function withoutFarLines(lines: readonly LineChange[]): LineChange[] {
  const isChanged = (index: number) => (lines[index]?.kind ?? "same") !== "same";
  return lines.filter((_line, at) => isChanged(at - 1) || isChanged(at) || isChanged(at + 1));
}

/** How long the longest common subsequence of from[i:] and to[j:] is, by i and j. */
function commonLengths(
  from: readonly string[],
  to: readonly string[],
): (i: number, j: number) => number {
  const width = to.length + 1;
  const lengths = new Uint16Array((from.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = from.length - 1; i >= 0; i -= 1) {
    for (let j = to.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] =
        from[i] === to[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  return at;
}
