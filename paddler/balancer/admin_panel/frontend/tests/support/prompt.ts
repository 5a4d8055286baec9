/** The prompt page's parts, in a browser that a test controls. */

import { onTestFinished } from "vitest";
import { type Answer, EMPTY_ANSWER } from "../../src/prompt/answer/answer";
import type {
  AssistantMessage,
  Conversation,
  Message,
  UserMessage,
} from "../../src/prompt/chat/conversation";
import { ConversationDatabase } from "../../src/prompt/chat/conversation-database";
import { Conversations } from "../../src/prompt/chat/conversations";
import { BrowserStorage } from "../../src/store/browser-storage";

export function question(text: string, images: string[] = []): UserMessage {
  return { role: "user", id: `question ${text}`, text, images };
}

export function reply(answer: Partial<Answer>): AssistantMessage {
  return {
    role: "assistant",
    id: `reply ${answer.text}`,
    answer: { ...EMPTY_ANSWER, ended: "done", ...answer },
    asked: { max_tokens: 9, add_generation_prompt: true, enable_thinking: false },
    systemPrompt: "",
  };
}

export function conversation(
  id: string,
  changedAt: number,
  messages: Message[] = [question(id)],
): Conversation {
  return { id, title: id, changedAt, messages };
}

/** What one tab of the browser has; tabs share a database and are told of each other. */
export function newTab() {
  const storage = new BrowserStorage();
  const database = ConversationDatabase.open();
  onTestFinished(() => database.close().catch(() => undefined));
  return { storage, database, conversations: new Conversations(database, storage) };
}

/** A tab that has read what was kept. */
export async function openTab() {
  const tab = newTab();
  await tab.conversations.open();
  return tab;
}
