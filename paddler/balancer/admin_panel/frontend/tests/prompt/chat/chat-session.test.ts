// @vitest-environment happy-dom

import { IDBFactory } from "fake-indexeddb";
import { beforeEach, expect, test, vi } from "vitest";
import { ChatSession } from "../../../src/prompt/chat/chat-session";
import { BadSettings, DEFAULT_SETTINGS } from "../../../src/prompt/settings/settings";
import { Store } from "../../../src/store/store";
import { USAGE } from "../../support/messages";
import { openTab, question } from "../../support/prompt";
import { scriptedServices } from "../../support/scripted-services";

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  sessionStorage.clear();
});

async function opened() {
  const { services, scripts } = scriptedServices();
  const { conversations } = await openTab();
  const settings = new Store({ ...DEFAULT_SETTINGS, systemPrompt: "Be kind." });
  const session = new ChatSession(services, settings, conversations);
  const kept = () =>
    conversations.all.value?.[0]?.messages.map((message) =>
      message.role === "user" ? message.text : `${message.answer.text} (${message.answer.ended})`,
    );
  return { session, scripts, conversations, settings, kept };
}

test("a question opens a conversation, which has the answer once it ended", async () => {
  const { session, scripts, conversations, kept } = await opened();
  session.ask(null, [question("Hi")]);
  expect(kept()).toEqual(["Hi"]);
  expect(session.running.value?.conversationId).toBe(conversations.chosenId.value);
  expect(scripts[0]?.request.body).toMatchObject({
    conversation_history: [
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hi" },
    ],
    conversation_id: conversations.chosenId.value,
  });
  scripts[0]?.write({ ContentToken: "Hello" });
  scripts[0]?.write({ Done: { usage: USAGE } });
  scripts[0]?.end();
  await vi.waitFor(() => expect(session.running.value).toBeNull());
  expect(kept()).toEqual(["Hi", "Hello (done)"]);
});

test("a long answer is kept on its way, as one that was stopped", async () => {
  const { session, scripts, kept } = await opened();
  session.ask(null, [question("Hi")]);
  const { timeOrigin } = performance;
  vi.spyOn(performance, "now").mockReturnValue(timeOrigin + 1e6);
  scripts[0]?.write({ ContentToken: "So far" });
  await vi.waitFor(() => expect(kept()).toEqual(["Hi", "So far (stopped)"]));
  expect(session.running.value?.message.answer.ended).toBe("running");
});

test("a conversation that was forgotten meanwhile does not come back", async () => {
  const { session, scripts, conversations, kept } = await opened();
  session.ask(null, [question("Hi")]);
  conversations.forget(conversations.chosenId.value ?? "");
  scripts[0]?.write({ Done: { usage: USAGE } });
  scripts[0]?.end();
  await vi.waitFor(() => expect(session.running.value).toBeNull());
  expect(kept()).toBeUndefined();
});

test("with a mistake in the settings nothing is sent and nothing kept", async () => {
  const { session, scripts, settings, kept } = await opened();
  settings.update((now) => ({ ...now, maxTokens: "none" }));
  expect(() => session.ask(null, [question("Hi")])).toThrow(BadSettings);
  expect(scripts).toHaveLength(0);
  expect(kept()).toBeUndefined();
  expect(session.running.value).toBeNull();
});
