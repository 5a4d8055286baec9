/** One running generation, from its request to its last token. */

import { messageOf } from "../../api/http";
import type { GenerationRequest, Services } from "../../api/services";
import { type Answer, EMPTY_ANSWER, extended } from "./answer";

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
    for await (const { generated_by: agent, response } of services.generate(request, signal)) {
      if ("GeneratedToken" in response)
        show(extended({ ...answer, agent }, response.GeneratedToken));
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
