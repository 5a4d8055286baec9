import { describe, expect, test } from "vitest";
import {
  askedWith,
  historyOf,
  newId,
  requestOf,
  titleOf,
} from "../../../src/prompt/chat/conversation";
import { BadSettings, DEFAULT_SETTINGS } from "../../../src/prompt/settings/settings";
import { question, reply } from "../../support/prompt";

describe("a conversation is called", () => {
  test.each([
    ["by its first question, on one line", [question("  How\n are\tyou? ")], "How are you?"],
    ["by its beginning where it is long", [question("x".repeat(49))], `${"x".repeat(47)}…`],
    ["nothing while nothing was asked", [question(" ")], "Untitled"],
    ["nothing while there is nothing", [], "Untitled"],
  ])("%s", (_how, messages, title) => {
    expect(titleOf(messages)).toBe(title);
  });
});

describe("the history that is sent", () => {
  test("begins with the system prompt, if there is one", () => {
    expect(historyOf([question("Hi")], "Be kind.")).toEqual([
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hi" },
    ]);
    expect(historyOf([question("Hi")], "  ")).toEqual([{ role: "user", content: "Hi" }]);
  });

  test("has answers without their reasoning, and with their tool calls", () => {
    const answer = reply({ text: "It is ", toolText: "{}", reasoning: "Hm." });
    expect(historyOf([question("Hi"), answer], "").at(-1)).toEqual({
      role: "assistant",
      content: "It is {}",
    });
  });

  test("has images after the text they came with", () => {
    const image = { type: "image_url", image_url: { url: "data:1" } };
    expect(historyOf([question("Look", ["data:1"]), question("", ["data:1"])], "")).toEqual([
      { role: "user", content: [{ type: "text", text: "Look" }, image] },
      { role: "user", content: [image] },
    ]);
  });
});

test("a request carries tools only if there are some", () => {
  expect(askedWith(DEFAULT_SETTINGS, "c1")).toEqual({
    max_tokens: 512,
    include_timings: true,
    add_generation_prompt: true,
    enable_thinking: false,
    conversation_id: "c1",
  });
  const tools = '[{"type": "function", "function": {"name": "f", "description": ""}}]';
  expect(askedWith({ ...DEFAULT_SETTINGS, tools }, "c1")).toMatchObject({
    tools: JSON.parse(tools),
    parse_tool_calls: true,
  });
  expect(() => askedWith({ ...DEFAULT_SETTINGS, tools: "[" }, "c1")).toThrow(BadSettings);
});

test("the request of an answer ends before it", () => {
  const [first, second] = [reply({ text: "A" }), reply({ text: "B" })];
  const messages = [question("a"), first, question("b"), second];
  expect(requestOf(messages, second)).toEqual({
    ...second.asked,
    conversation_history: [
      { role: "user", content: "a" },
      { role: "assistant", content: "A" },
      { role: "user", content: "b" },
    ],
  });
});

test("ids are not met twice", () => {
  expect(new Set(Array.from({ length: 1000 }, newId)).size).toBe(1000);
});
