/** One running generation: what arrived so far, and how it ended. */

import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import type { ConversationRequest, RawPromptRequest, Timings, Usage } from "../api/types";

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

type GenerationRequest =
  | { path: "continue_from_conversation_history"; body: ConversationRequest }
  | { path: "continue_from_raw_prompt"; body: RawPromptRequest };

/**
 * Runs a request to its end; never throws. `onChange` is called at most once
 * per frame, and always with the last state. Aborting stops the generation at
 * the agent too.
 */
export async function generate(
  services: Services,
  request: GenerationRequest,
  signal: AbortSignal,
  onChange: (answer: Answer) => void,
): Promise<Answer> {
  let answer = EMPTY_ANSWER;
  let frame = 0;
  const show = (next: Answer) => {
    answer = next;
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      onChange(answer);
    });
  };
  try {
    for await (const { Response } of services.stream(request.path, request.body, signal)) {
      const token = Response?.response.GeneratedToken;
      if (Response === undefined || token === undefined) continue;
      show(extended({ ...answer, agent: Response.generated_by }, token));
    }
    if (answer.ended === "running") {
      answer = { ...answer, ended: "failed", problem: "the answer broke off" };
    }
  } catch (error) {
    answer = signal.aborted
      ? { ...answer, ended: "stopped" }
      : { ...answer, ended: "failed", problem: messageOf(error) };
  }
  cancelAnimationFrame(frame);
  onChange(answer);
  return answer;
}

function extended(answer: Answer, token: Record<string, unknown>): Answer {
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
