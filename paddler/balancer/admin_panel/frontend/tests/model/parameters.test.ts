import { describe, expect, test } from "vitest";
import {
  draftOf,
  PARAMETERS,
  type ParameterName,
  parametersOf,
  problemOf,
} from "../../src/model/parameters";
import { PARAMETERS as DEFAULTS } from "../support/messages";

function problem(name: ParameterName, typed: string): string | null {
  const parameter = PARAMETERS.find((one) => one.name === name);
  if (parameter === undefined) throw new Error(`there is no parameter ${name}`);
  return problemOf(parameter, typed);
}

test("every parameter of the balancer has its place in the form", () => {
  expect(PARAMETERS.map(({ name }) => name).sort()).toEqual(Object.keys(DEFAULTS).sort());
});

test("a draft that nobody touched is what it was made of", () => {
  expect(parametersOf(draftOf(DEFAULTS), DEFAULTS)).toEqual(DEFAULTS);
});

describe("numbers as typed", () => {
  test.each<[ParameterName, string, string | null]>([
    ["top_p", "1", null],
    ["top_p", " 0,5 ", null],
    ["top_p", "1.5", "From 0 to 1."],
    ["top_p", "", "Write a number."],
    ["top_p", "half", "Write a number."],
    ["top_p", "Infinity", "Write a number."],
    ["top_k", "1.5", "Write a whole number."],
    ["context_size", "0", "From 1 to 2147483647."],
    ["n_gpu_layers", "-1", null],
    ["n_gpu_layers", "-2", "From -1 to 1048576."],
    ["penalty_repeat", "0.0001", null],
    ["penalty_repeat", "0", "Above 0, up to 100."],
  ])("%s %j: %s", (name, typed, expected) => {
    expect(problem(name, typed)).toBe(expected);
  });

  test("may have a decimal comma", () => {
    const draft = { ...draftOf(DEFAULTS), temperature: "0,25" };
    expect(parametersOf(draft, DEFAULTS)?.temperature).toBe(0.25);
  });
});

test("switches and choices are taken as they are", () => {
  const draft = { ...draftOf(DEFAULTS), enable_embeddings: true, pooling_type: "Mean" };
  expect(parametersOf(draft, DEFAULTS)).toEqual({
    ...DEFAULTS,
    enable_embeddings: true,
    pooling_type: "Mean",
  });
});

test("one wrong value is enough for there to be no parameters", () => {
  expect(parametersOf({ ...draftOf(DEFAULTS), top_p: "7" }, DEFAULTS)).toBeNull();
});

test("what this panel does not know of is left as it was", () => {
  const before = { ...DEFAULTS, from_the_future: 7 };
  expect(parametersOf(draftOf(before), before)).toEqual(before);
});
