// @vitest-environment happy-dom

import { fireEvent, render, screen } from "@testing-library/preact";
import { expect, test, vi } from "vitest";
import { NOTHING_UNSENT } from "../../../src/prompt/chat/chat-session";
import { Composer } from "../../../src/prompt/chat/composer";
import { Store } from "../../../src/store/store";

function composing({ isRunning = false, supportsImages = true } = {}) {
  const unsent = new Store(NOTHING_UNSENT);
  const onSend = vi.fn((_text: string, _images: string[]) => true);
  const onStop = vi.fn();
  render(
    <Composer
      unsent={unsent}
      isRunning={isRunning}
      supportsImages={supportsImages}
      onSend={onSend}
      onStop={onStop}
    />,
  );
  const message = screen.getByRole("textbox", { name: "Message" });
  const type = (text: string) => fireEvent.input(message, { target: { value: text } });
  const press = (key: string, more: object = {}) => fireEvent.keyDown(message, { key, ...more });
  return { unsent, onSend, onStop, message, type, press };
}

const button = (name: string) => screen.getByRole("button", { name }) as HTMLButtonElement;

test("Enter sends, Shift+Enter starts a line, and neither while letters are composed", () => {
  const { onSend, type, press, unsent } = composing();
  type("Hi");
  press("Enter", { shiftKey: true });
  press("Enter", { isComposing: true });
  expect(onSend).not.toHaveBeenCalled();
  press("Enter");
  expect(onSend).toHaveBeenCalledExactlyOnceWith("Hi", []);
  expect(unsent.value).toEqual(NOTHING_UNSENT);
});

test("what was not taken stays", () => {
  const { onSend, type, press, unsent } = composing();
  onSend.mockReturnValue(false);
  type("Hi");
  press("Enter");
  expect(unsent.value.text).toBe("Hi");
});

test("there is nothing to send in nothing but spaces", () => {
  const { onSend, type, press } = composing();
  expect(button("Send").disabled).toBe(true);
  type("  \n ");
  press("Enter");
  expect(button("Send").disabled).toBe(true);
  expect(onSend).not.toHaveBeenCalled();
});

test("while an answer is written it can be stopped, and nothing sent", () => {
  const { onSend, onStop, type, press } = composing({ isRunning: true });
  type("Hi");
  press("Enter");
  fireEvent.click(button("Stop"));
  expect(onSend).not.toHaveBeenCalled();
  expect(onStop).toHaveBeenCalledOnce();
});

test("an image that is pasted is attached, can be taken off, and is enough to be sent", async () => {
  const { message, unsent } = composing();
  const files = [new File(["a"], "a.png", { type: "image/png" })];
  fireEvent.paste(message, { clipboardData: { files } });
  fireEvent.paste(message, { clipboardData: { files } });
  await screen.findByRole("button", { name: "Remove image 2" });
  expect(button("Send").disabled).toBe(false);
  fireEvent.click(button("Remove image 1"));
  expect(unsent.value.images).toEqual(["data:image/png;base64,YQ=="]);
});

test("a file that is no image is told", async () => {
  const { message } = composing();
  fireEvent.paste(message, { clipboardData: { files: [new File(["a"], "a.txt")] } });
  expect(await screen.findByText("a.txt is no image.")).toBeTruthy();
});

test("a model that takes no images is offered none", () => {
  const { message, unsent } = composing({ supportsImages: false });
  const files = [new File(["a"], "a.png", { type: "image/png" })];
  expect(button("Attach images").disabled).toBe(true);
  fireEvent.paste(message, { clipboardData: { files } });
  expect(unsent.value.images).toEqual([]);
});
