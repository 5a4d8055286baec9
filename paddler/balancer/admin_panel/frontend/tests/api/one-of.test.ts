import { expect, test } from "vitest";
import type { Model } from "../../src/api/messages";
import { fieldOf } from "../../src/api/one-of";

test("the field that is there is told by name and value", () => {
  const model: Exclude<Model, string> = { Url: { url: "https://models.example/m.gguf" } };
  expect(fieldOf(model)).toEqual(["Url", { url: "https://models.example/m.gguf" }]);
});

test("an object without any is no message", () => {
  expect(() => fieldOf({} as { Url: string })).toThrow(TypeError);
});
