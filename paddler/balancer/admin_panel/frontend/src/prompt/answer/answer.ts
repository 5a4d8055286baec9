/** An answer so far, item by item. */

import type { GeneratedItem, Timings, Usage } from "../../api/messages";
import { fieldOf } from "../../api/one-of";

export interface Answer {
  text: string;
  reasoning: string;
  toolText: string;
  /** Parsed tool calls, or why they could not be parsed; JSON or plain text. */
  toolResult: string | null;
  agent: string | null;
  usage: Usage | null;
  timings: Timings | null;
  ended: "running" | "done" | "stopped" | "failed";
  problem: string | null;
}

export const EMPTY_ANSWER: Answer = {
  text: "",
  reasoning: "",
  toolText: "",
  toolResult: null,
  agent: null,
  usage: null,
  timings: null,
  ended: "running",
  problem: null,
};

/** The answer with one more item; what this panel has never heard of ends it. */
export function extended(answer: Answer, item: GeneratedItem): Answer {
  const [kind, content] = fieldOf(item);
  switch (kind) {
    case "ContentToken":
    case "UndeterminableToken":
      return { ...answer, text: answer.text + content };
    case "ReasoningToken":
      return { ...answer, reasoning: answer.reasoning + content };
    case "ToolCallToken":
      return { ...answer, toolText: answer.toolText + content };
    case "Done":
      return { ...answer, ended: "done", usage: content.usage, timings: content.timings ?? null };
    case "ToolCallParsed":
      return { ...answer, toolResult: JSON.stringify(content, null, 2) };
    case "ToolCallParseFailed":
    case "ToolCallValidationFailed":
    case "UnrecognizedToolCallFormat":
      return { ...answer, toolResult: `${kind}: ${described(content)}` };
    default:
      return { ...answer, ended: "failed", problem: `${kind}: ${described(content)}` };
  }
}

function described(content: unknown): string {
  return typeof content === "string" ? content : JSON.stringify(content);
}
