import { describe, expect, test } from "vitest";
import { type Draft, draftFrom, isComplete, stateOf } from "../../src/model/draft";
import { desiredState } from "../support/messages";

const SAVED = desiredState({
  chat_template_override: { content: "{{ kept }}" },
  model: { LocalToAgent: "/m.gguf" },
});

function changed(changes: Partial<Draft>): Draft {
  return { ...draftFrom(SAVED), ...changes };
}

test("an untouched draft stands for the state it was made of", () => {
  expect(stateOf(draftFrom(SAVED), SAVED)).toEqual(SAVED);
  expect(isComplete(draftFrom(SAVED))).toBe(true);
});

test("a change is in the state, and the rest as it was", () => {
  const draft = changed({ model: "hf:o/r/m.gguf", template: "new", useTemplate: true });
  expect(stateOf(draft, SAVED)).toEqual({
    ...SAVED,
    model: { HuggingFace: { repo_id: "o/r", filename: "m.gguf", revision: "main" } },
    chat_template_override: { content: "new" },
    use_chat_template_override: true,
  });
});

test("a template that was emptied is none", () => {
  expect(stateOf(changed({ template: "" }), SAVED)?.chat_template_override).toBeNull();
});

describe("a draft with a mistake stands for nothing yet", () => {
  test.each<[string, Partial<Draft>]>([
    ["a model that is none", { model: "m.gguf" }],
    ["a projection that is none", { projection: "m.gguf" }],
    ["a template to use that is empty", { template: "", useTemplate: true }],
    ["a parameter out of bounds", { parameters: { ...draftFrom(SAVED).parameters, top_p: "7" } }],
  ])("%s", (_mistake, changes) => {
    expect(stateOf(changed(changes), SAVED)).toBeNull();
    expect(isComplete(changed(changes))).toBe(false);
  });
});
