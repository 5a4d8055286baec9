import { expect, test } from "vitest";
import { changesBetween, templateChanges } from "../../src/model/changes";
import { desiredState, PARAMETERS } from "../support/messages";

test("the same state differs in nothing", () => {
  expect(changesBetween(desiredState(), desiredState())).toEqual([]);
  expect(templateChanges(desiredState(), desiredState())).toEqual([]);
});

test("each setting that differs is told as it is written", () => {
  const after = desiredState({
    model: { LocalToAgent: "/m.gguf" },
    use_chat_template_override: true,
    inference_parameters: { ...PARAMETERS, context_size: 512, enable_embeddings: true },
  });
  expect(changesBetween(desiredState(), after)).toEqual([
    { name: "Model", before: "none", after: "agent:///m.gguf" },
    { name: "Chat template", before: "the model's own", after: "override" },
    { name: "Context per slot", before: "8192", after: "512" },
    { name: "Embeddings", before: "false", after: "true" },
  ]);
});

test("a template is told by its changed lines, with one around them", () => {
  const before = desiredState({ chat_template_override: { content: "a\nb\nc\nd\ne" } });
  const after = desiredState({ chat_template_override: { content: "a\nb\nc\nD\ne" } });
  expect(templateChanges(before, after).map(({ kind, text }) => `${kind} ${text}`)).toEqual([
    "same c",
    "removed d",
    "added D",
    "same e",
  ]);
});
