/** An answer so far, token by token. */

import type { Timings, Usage } from "../../api/types";

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

/** The answer with one more item of the stream. */
export function extended(answer: Answer, token: Record<string, unknown>): Answer {
  const [kind = "", payload] = Object.entries(token)[0] ?? [];
  const text = typeof payload === "string" ? payload : "";
  switch (kind) {
    case "ContentToken":
    case "UndeterminableToken":
      return { ...answer, text: answer.text + text };
    case "ReasoningToken":
      return { ...answer, reasoning: answer.reasoning + text };
    case "ToolCallToken":
      return { ...answer, toolText: answer.toolText + text };
    case "Done": {
      const done = payload as { usage: Usage; timings?: Timings };
      return { ...answer, ended: "done", usage: done.usage, timings: done.timings ?? null };
    }
    case "ToolCallParsed":
      return { ...answer, toolResult: JSON.stringify(payload, null, 2) };
    case "ToolCallParseFailed":
    case "ToolCallValidationFailed":
    case "UnrecognizedToolCallFormat":
      return { ...answer, toolResult: `${kind}: ${described(payload)}` };
    default:
      return { ...answer, ended: "failed", problem: `${kind}: ${described(payload)}` };
  }
}

function described(payload: unknown): string {
  return typeof payload === "string" ? payload : JSON.stringify(payload);
}
