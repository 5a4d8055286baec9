// @vitest-environment happy-dom

import { expect, test, vi } from "vitest";
import type { Answer } from "../../../src/prompt/answer/answer";
import { generate } from "../../../src/prompt/answer/generation";
import { USAGE } from "../../support/messages";
import { scriptedServices } from "../../support/scripted-services";

function running() {
  const { services, scripts } = scriptedServices();
  const stop = new AbortController();
  const shown: Answer[] = [];
  const request = {
    path: "continue_from_raw_prompt",
    body: { raw_prompt: "x", max_tokens: 9 },
  } as const;
  const ended = generate(services, request, stop.signal, (answer) => shown.push(answer));
  const [script] = scripts;
  if (script === undefined) throw new Error("nothing was asked for");
  return { ...script, stop, shown, ended };
}

test("an answer is what its items make of it, with who gave it", async () => {
  const { write, end, ended, shown } = running();
  write({ ContentToken: "Hel" });
  write({ ContentToken: "lo" });
  write({ Done: { usage: USAGE } });
  end();
  const answer = await ended;
  expect(answer).toMatchObject({ text: "Hello", agent: "alpha", ended: "done", usage: USAGE });
  expect(shown.at(-1)).toBe(answer);
});

test("what arrives together is shown together, and while it is running", async () => {
  const { write, end, ended, shown } = running();
  for (const token of ["a", "b", "c"]) write({ ContentToken: token });
  await vi.waitFor(() => expect(shown).toHaveLength(1));
  expect(shown[0]).toMatchObject({ text: "abc", ended: "running" });
  end();
  await ended;
});

test("a stream without an end broke off", async () => {
  const { write, end, ended } = running();
  write({ ContentToken: "so far" });
  end();
  expect(await ended).toMatchObject({
    text: "so far",
    ended: "failed",
    problem: "the answer broke off",
  });
});

test("a failure is told", async () => {
  const { fail, ended } = running();
  fail(new Error("no agents"));
  expect(await ended).toMatchObject({ ended: "failed", problem: "no agents" });
});

test("who stopped it need not be told why it ended", async () => {
  const { write, stop, ended, shown } = running();
  write({ ContentToken: "so far" });
  await vi.waitFor(() => expect(shown).toHaveLength(1));
  stop.abort();
  expect(await ended).toMatchObject({ text: "so far", ended: "stopped", problem: null });
});
