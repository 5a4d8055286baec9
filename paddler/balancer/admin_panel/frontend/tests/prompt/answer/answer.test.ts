import { describe, expect, test } from "vitest";
import type { GeneratedItem } from "../../../src/api/messages";
import { type Answer, EMPTY_ANSWER, extended } from "../../../src/prompt/answer/answer";
import { factsOf } from "../../../src/prompt/answer/facts";
import { USAGE } from "../../support/messages";

const TIMINGS = {
  buffered_ms: 0,
  prefill_ms: 1,
  ttft_ms: 83.2,
  decode_ms: 100,
  tokens_per_second: 64.33,
  cached_prompt_tokens: 8,
  slot: 1,
};

const answerOf = (...items: GeneratedItem[]): Answer => items.reduce(extended, EMPTY_ANSWER);

test("tokens are gathered by what they belong to", () => {
  const answer = answerOf(
    { ReasoningToken: "Hm" },
    { ReasoningToken: "." },
    { ContentToken: "Hel" },
    { UndeterminableToken: "lo" },
    { ToolCallToken: "{" },
    { ToolCallToken: "}" },
  );
  expect(answer).toMatchObject({
    reasoning: "Hm.",
    text: "Hello",
    toolText: "{}",
    ended: "running",
  });
});

test("the end brings what the answer cost", () => {
  expect(answerOf({ ContentToken: "x" }, { Done: { usage: USAGE } })).toMatchObject({
    ended: "done",
    usage: USAGE,
    timings: null,
  });
  expect(answerOf({ Done: { usage: USAGE, timings: TIMINGS } }).timings).toEqual(TIMINGS);
});

describe("tool calls", () => {
  test("are shown as JSON", () => {
    const call = { id: "1", name: "weather", arguments: { ValidJson: { city: "Oslo" } } };
    expect(JSON.parse(answerOf({ ToolCallParsed: [call] }).toolResult ?? "")).toEqual([call]);
  });

  test.each<[GeneratedItem, string]>([
    [{ ToolCallParseFailed: "no end" }, "ToolCallParseFailed: no end"],
    [{ ToolCallValidationFailed: ["a", "b"] }, 'ToolCallValidationFailed: ["a","b"]'],
  ])("that cannot be used end nothing: %j", (item, toolResult) => {
    expect(answerOf(item)).toMatchObject({ toolResult, ended: "running", problem: null });
  });
});

test.each<[GeneratedItem, string]>([
  [{ SamplerError: "it broke" }, "SamplerError: it broke"],
  [
    { ImageExceedsBatchSize: { image_tokens: 9, n_batch: 4 } },
    'ImageExceedsBatchSize: {"image_tokens":9,"n_batch":4}',
  ],
  [{ FromTheFuture: 1 } as unknown as GeneratedItem, "FromTheFuture: 1"],
])("a failure ends the answer, also one this panel never heard of: %j", (item, problem) => {
  expect(answerOf({ ContentToken: "so far" }, item)).toMatchObject({
    text: "so far",
    ended: "failed",
    problem,
  });
});

describe("the facts of an answer", () => {
  const done = { ...EMPTY_ANSWER, ended: "done", agent: "alpha", usage: USAGE } as const;

  test("are its tokens, their speed, the prompt, and who gave it", () => {
    expect(factsOf({ ...done, timings: TIMINGS })).toEqual([
      "6 tokens",
      "64.3 tokens/s",
      "first after 83 ms",
      "prompt 12, 8 from cache",
      "alpha, slot 1",
    ]);
  });

  test("leave out what was not measured", () => {
    expect(factsOf(done)).toEqual(["6 tokens", "prompt 12, 8 from cache", "alpha"]);
    const withoutFirst = factsOf({ ...done, timings: { ...TIMINGS, ttft_ms: null } });
    expect(withoutFirst.join()).not.toContain("first after");
  });

  test("name images, and that somebody stopped it", () => {
    const usage = { ...USAGE, input_image_tokens: 32 };
    expect(factsOf({ ...done, usage })).toContain("images 32");
    expect(factsOf({ ...EMPTY_ANSWER, ended: "stopped" })).toEqual(["stopped"]);
  });
});
