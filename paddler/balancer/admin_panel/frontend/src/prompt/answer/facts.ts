import { count, milliseconds, rate } from "../../ui/format";
import type { Answer } from "./answer";

/** What an answer that ended cost and who gave it, a few words each. */
export function factsOf({ ended, usage, timings, agent }: Answer): string[] {
  const facts: string[] = [];
  if (ended === "stopped") facts.push("stopped");
  if (usage !== null) {
    const generated =
      usage.content_tokens +
      usage.reasoning_tokens +
      usage.tool_call_tokens +
      usage.undeterminable_tokens;
    facts.push(`${count(generated)} tokens`);
    if (timings !== null) facts.push(`${rate(timings.tokens_per_second)} tokens/s`);
    if (timings !== null && timings.ttft_ms !== null) {
      facts.push(`first after ${milliseconds(timings.ttft_ms)}`);
    }
    facts.push(
      `prompt ${count(usage.prompt_tokens)}, ${count(usage.cached_prompt_tokens)} from cache`,
    );
    if (usage.input_image_tokens > 0) facts.push(`images ${count(usage.input_image_tokens)}`);
  }
  if (agent !== null) facts.push(timings === null ? agent : `${agent}, slot ${timings.slot}`);
  return facts;
}
