// @vitest-environment happy-dom

import { beforeEach, describe, expect, test } from "vitest";
import {
  BadSettings,
  DEFAULT_SETTINGS,
  extrasOf,
  numberProblem,
  openSettings,
  parseTools,
  type Settings,
  toolsProblem,
} from "../../../src/prompt/settings/settings";
import { BrowserStorage } from "../../../src/store/browser-storage";

const KEY = "paddler.prompt.settings";

function settings(changes: Partial<Settings>): Settings {
  return { ...DEFAULT_SETTINGS, ...changes };
}

function sampling(changes: Partial<Settings["sampling"]>): Settings {
  return settings({ sampling: { ...DEFAULT_SETTINGS.sampling, ...changes } });
}

beforeEach(() => localStorage.clear());

describe("what a request carries", () => {
  test("is little while nothing is set", () => {
    expect(extrasOf(DEFAULT_SETTINGS)).toEqual({ max_tokens: 512, include_timings: true });
  });

  test("is what is set, and only that", () => {
    const chosen = {
      ...sampling({ temperature: "0.5", seed: " 7 " }),
      stop: "END\n\nSTOP\n",
      grammarKind: "gbnf",
      grammar: 'root ::= "x"',
      grammarRoot: "",
    } as const;
    expect(extrasOf(chosen)).toEqual({
      max_tokens: 512,
      include_timings: true,
      sampling: { temperature: 0.5, seed: 7 },
      stop: ["END", "STOP"],
      grammar: { type: "gbnf", grammar: 'root ::= "x"', root: "root" },
    });
  });

  test("is a schema as it was written", () => {
    const chosen = settings({ grammarKind: "json_schema", grammar: '{"type": "object"}' });
    expect(extrasOf(chosen).grammar).toEqual({
      type: "json_schema",
      schema: '{"type": "object"}',
    });
  });

  test.each([
    ["a kind without a grammar", settings({ grammarKind: "gbnf", grammar: "  " })],
    ["a grammar without a kind", settings({ grammarKind: "none", grammar: "root" })],
  ])("is no grammar for %s", (_which, chosen) => {
    expect(extrasOf(chosen)).not.toHaveProperty("grammar");
  });
});

describe("mistakes are told before anything is sent", () => {
  test.each([
    ["max tokens", settings({ maxTokens: "" }), "Max tokens has to be a whole number from 1."],
    ["max tokens", settings({ maxTokens: "1.5" }), "Max tokens has to be a whole number from 1."],
    ["sampling", sampling({ top_p: "much" }), "Top p has to be a number."],
  ])("%s: %#", (_where, chosen, message) => {
    expect(() => extrasOf(chosen)).toThrow(BadSettings);
    expect(() => extrasOf(chosen)).toThrow(message);
  });

  test("tools have to be a JSON array", () => {
    expect(parseTools(" ")).toEqual([]);
    expect(parseTools('[{"type": "function"}]')).toEqual([{ type: "function" }]);
    expect(toolsProblem("[{]")).toContain("Tools are not valid JSON: ");
    expect(toolsProblem("{}")).toBe("Tools have to be a JSON array.");
    expect(toolsProblem("[]")).toBeNull();
  });

  test("a number may be left out", () => {
    expect(["", " ", "-1.5", "1e3"].map(numberProblem)).toEqual([null, null, null, null]);
    expect(["x", "1,5"].map(numberProblem)).toEqual(["Write a number.", "Write a number."]);
  });
});

describe("settings of another panel", () => {
  const opened = (kept: string): Settings => {
    localStorage.setItem(KEY, kept);
    return openSettings(new BrowserStorage()).value;
  };

  test.each(["{}", "[1]", "null", "x", '{"sampling": 7, "maxTokens": 3}', '{"sampling": null}'])(
    "do no harm: %s",
    (kept) => {
      expect(opened(kept)).toEqual(DEFAULT_SETTINGS);
    },
  );

  test("are taken where they fit", () => {
    const kept = { systemPrompt: "Be kind.", sampling: { top_k: "3", top_q: "4" }, colour: "red" };
    expect(opened(JSON.stringify(kept))).toEqual({
      ...sampling({ top_k: "3" }),
      systemPrompt: "Be kind.",
    });
  });

  test("name no kind of grammar that this one does not have", () => {
    expect(opened('{"grammarKind": "lark"}').grammarKind).toBe("none");
  });
});
