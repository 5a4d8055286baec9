/** One running generation, from its request to its last token. */

import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import type { ConversationRequest, RawPromptRequest } from "../../api/types";
import { type Answer, EMPTY_ANSWER, extended } from "./answer";

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
