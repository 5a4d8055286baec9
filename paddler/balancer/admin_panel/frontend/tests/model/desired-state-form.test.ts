import { describe, expect, test, vi } from "vitest";
import type { DesiredState } from "../../src/api/messages";
import { Services } from "../../src/api/services";
import { DesiredStateForm, StateWasChanged } from "../../src/model/desired-state-form";
import { desiredState, PARAMETERS } from "../support/messages";

const THEIRS = desiredState({ model: { LocalToAgent: "/theirs.gguf" } });

/** A form, and what the fleet is asked to serve meanwhile. */
async function opened(initial: DesiredState = desiredState()) {
  const services = new Services({ version: "", managementUrl: "", inferenceUrl: "" });
  let state = initial;
  const asked = vi.spyOn(services, "desiredState").mockImplementation(() => Promise.resolve(state));
  const put = vi.spyOn(services, "putDesiredState").mockImplementation((changed) => {
    state = changed;
    return Promise.resolve();
  });
  const form = new DesiredStateForm(services);
  await form.refresh();
  const type = (top_k: string) => {
    const draft = form.editing.value?.draft;
    if (draft !== undefined) {
      form.change({ ...draft, parameters: { ...draft.parameters, top_k } });
    }
  };
  return { form, asked, put, type, elsewhere: (changed: DesiredState) => (state = changed) };
}

test("an untouched form follows the state", async () => {
  const { form, elsewhere } = await opened();
  elsewhere(THEIRS);
  await form.refresh();
  expect(form.editing.value).toMatchObject({
    saved: THEIRS,
    draft: { model: "agent:///theirs.gguf" },
    isOvertaken: false,
  });
});

describe("what is typed", () => {
  test("stays while somebody else changes the state, and that is told", async () => {
    const { form, type, elsewhere } = await opened();
    type("33");
    await form.refresh();
    expect(form.editing.value?.isOvertaken).toBe(false);
    elsewhere(THEIRS);
    await form.refresh();
    expect(form.editing.value).toMatchObject({
      saved: THEIRS,
      draft: { model: "", parameters: { top_k: "33" } },
      isOvertaken: true,
    });
  });

  test("is gone when it is discarded", async () => {
    const { form, type, elsewhere } = await opened();
    type("33");
    elsewhere(THEIRS);
    await form.refresh();
    form.discard();
    expect(form.editing.value).toMatchObject({
      draft: { model: "agent:///theirs.gguf", parameters: { top_k: "80" } },
      isOvertaken: false,
    });
  });
});

describe("applying", () => {
  const wanted = desiredState({ inference_parameters: { ...PARAMETERS, top_k: 33 } });

  test("puts the state, and shows it as the service has it", async () => {
    const { form, put, type, asked } = await opened();
    type("33");
    asked.mockResolvedValueOnce(desiredState());
    await form.apply(wanted);
    expect(put).toHaveBeenCalledExactlyOnceWith(wanted);
    expect(form.editing.value).toMatchObject({ saved: wanted, isOvertaken: false });
  });

  test("does not overwrite what somebody else put meanwhile", async () => {
    const { form, put, type, elsewhere } = await opened();
    type("33");
    elsewhere(THEIRS);
    await expect(form.apply(wanted)).rejects.toThrow(StateWasChanged);
    expect(put).not.toHaveBeenCalled();
    expect(form.editing.value).toMatchObject({ saved: THEIRS, isOvertaken: true });
  });
});

test("a service that cannot be asked is a problem until it can", async () => {
  const { form, asked } = await opened();
  asked.mockRejectedValueOnce(new Error("away"));
  await form.refresh();
  expect(form.problem.value).toBe("away");
  await form.refresh();
  expect(form.problem.value).toBeNull();
});
