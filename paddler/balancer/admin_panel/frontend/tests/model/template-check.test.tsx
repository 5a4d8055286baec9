// @vitest-environment happy-dom

import { act, renderHook } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ServiceError } from "../../src/api/http";
import type { TemplateCheck } from "../../src/api/messages";
import { Services } from "../../src/api/services";
import { draftFrom } from "../../src/model/draft";
import { useTemplateCheck } from "../../src/model/template-check";
import { desiredState } from "../support/messages";

const SAVED = desiredState();
const FINE: TemplateCheck = { error: null, warning: null, preview: "Hello" };
const NOTHING = { error: null, warning: null, preview: null, isRunning: false };

function editing(template: string, hasAgents = true) {
  const services = new Services({ version: "", managementUrl: "", inferenceUrl: "" });
  const asked = vi.spyOn(services, "checkTemplate").mockResolvedValue(FINE);
  const draftWith = (text: string) => ({ ...draftFrom(SAVED), template: text, useTemplate: true });
  const hook = renderHook(
    (text: string) => useTemplateCheck(services, draftWith(text), SAVED, hasAgents),
    { initialProps: template },
  );
  return { asked, type: hook.rerender, trial: () => hook.result.current, ...hook };
}

const pass = (ms: number) =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("a template is tried once nobody types for a while", async () => {
  const { asked, type, trial } = editing("{{ a }}");
  expect(trial()).toEqual({ ...NOTHING, isRunning: true });
  await pass(400);
  type("{{ a }}b");
  await pass(499);
  expect(asked).not.toHaveBeenCalled();
  await pass(1);
  expect(asked).toHaveBeenCalledExactlyOnceWith("{{ a }}b", expect.any(AbortSignal));
  expect(trial()).toEqual({ ...FINE, isRunning: false });
});

test("an answer to what was written before is not shown", async () => {
  const { asked, type, trial } = editing("old");
  let answer: (check: TemplateCheck) => void = () => undefined;
  asked.mockReturnValueOnce(
    new Promise((resolve) => {
      answer = resolve;
    }),
  );
  await pass(500);
  type("new");
  expect(asked.mock.calls[0]?.[1].aborted).toBe(true);
  answer({ ...FINE, error: "of the old one" });
  await pass(0);
  expect(trial()).toEqual({ ...NOTHING, isRunning: true });
});

test("that it could not be tried is a warning, and keeps nobody from applying it", async () => {
  const { asked, trial } = editing("{{ a }}");
  asked.mockRejectedValueOnce(new ServiceError("no agent answered", { status: 504 }));
  await pass(500);
  expect(trial()).toEqual({
    ...NOTHING,
    warning: "The template could not be tried: no agent answered",
  });
});

test.each([
  ["without agents", "{{ a }}", false],
  ["that is empty", "  ", true],
  ["that is the one applied", "", true],
])("a template %s is not tried", async (_which, template, hasAgents) => {
  const { asked, trial } = editing(template, hasAgents);
  await pass(10_000);
  expect(asked).not.toHaveBeenCalled();
  expect(trial()).toEqual(NOTHING);
});
