/** What differs between two desired states, before the newer one is applied. */

import type { DesiredState } from "../api/types";
import { formatReference } from "./model-reference";
import { PARAMETERS } from "./parameters";

export interface Change {
  name: string;
  before: string;
  after: string;
}

export interface LineChange {
  kind: "same" | "added" | "removed";
  text: string;
}

/** Above this, lines are not compared one by one: the table would grow with the square. */
const MAX_COMPARED_LINES = 800;

export function changesBetween(before: DesiredState, after: DesiredState): Change[] {
  const changes: Change[] = [];
  const note = (name: string, from: string, to: string) => {
    if (from !== to) changes.push({ name, before: from || "none", after: to || "none" });
  };
  note("Model", formatReference(before.model), formatReference(after.model));
  note(
    "Multimodal projection",
    formatReference(before.multimodal_projection),
    formatReference(after.multimodal_projection),
  );
  note("Chat template", templateChoice(before), templateChoice(after));
  for (const parameter of PARAMETERS) {
    note(
      parameter.label,
      String(before.inference_parameters[parameter.name]),
      String(after.inference_parameters[parameter.name]),
    );
  }
  return changes;
}

/** The changed lines of the kept template, with a line of context around them. */
export function templateChanges(before: DesiredState, after: DesiredState): LineChange[] {
  const from = before.chat_template_override?.content ?? "";
  const to = after.chat_template_override?.content ?? "";
  if (from === to) return [];
  return withoutFarLines(compareLines(linesOf(from), linesOf(to)));
}

function templateChoice(state: DesiredState): string {
  return state.use_chat_template_override ? "override" : "the model's own";
}

function linesOf(text: string): string[] {
  return text === "" ? [] : text.split("\n");
}

function compareLines(from: string[], to: string[]): LineChange[] {
  if (from.length > MAX_COMPARED_LINES || to.length > MAX_COMPARED_LINES) {
    return [
      { kind: "removed", text: `${from.length} lines` },
      { kind: "added", text: `${to.length} lines` },
    ];
  }
  // lengths[i][j]: longest common subsequence of from[i:] and to[j:].
  const lengths = Array.from({ length: from.length + 1 }, () =>
    new Array<number>(to.length + 1).fill(0),
  );
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
  for (let i = from.length - 1; i >= 0; i -= 1) {
    const row = lengths[i];
    if (row === undefined) continue;
    for (let j = to.length - 1; j >= 0; j -= 1) {
      row[j] = from[i] === to[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: LineChange[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      lines.push({ kind: "same", text: from[i] ?? "" });
      i += 1;
      j += 1;
    } else if (i < from.length && (j >= to.length || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: "removed", text: from[i] ?? "" });
      i += 1;
    } else {
      lines.push({ kind: "added", text: to[j] ?? "" });
      j += 1;
    }
  }
  return lines;
}

function withoutFarLines(lines: LineChange[]): LineChange[] {
  const isNear = (index: number) =>
    [-1, 0, 1].some((step) => {
      const line = lines[index + step];
      return line !== undefined && line.kind !== "same";
    });
  return lines.filter((_line, index) => isNear(index));
}
