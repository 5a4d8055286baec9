/** Conversations, kept in the browser. */

import { Store, storageFailed } from "../api/store";
import type { ContentPart, ConversationRequest, WireMessage } from "../api/types";
import { ConversationDatabase } from "./conversation-database";
import type { Answer } from "./generation";
import { extrasOf, parseTools, type Settings } from "./settings";

export interface UserMessage {
  role: "user";
  id: string;
  text: string;
  /** Data URIs. */
  images: string[];
}

export interface AssistantMessage {
  role: "assistant";
  id: string;
  answer: Answer;
  /** What it was asked with, the history left out. */
  asked: Omit<ConversationRequest, "conversation_history">;
  systemPrompt: string;
}

export type Message = UserMessage | AssistantMessage;

export interface Conversation {
  id: string;
  title: string;
  /** When it was changed last, in Unix milliseconds. */
  changedAt: number;
  messages: Message[];
}

/** More than these are forgotten, the ones used longest ago first. */
const MAX_CONVERSATIONS = 50;
const MAX_CHARS = 64_000_000;
const MAX_TITLE_CHARS = 48;
const CHOSEN = "paddler.prompt.conversation";

/** Newest first; null until they are read. */
export const conversations = new Store<Conversation[] | null>(null);

/** The one that is shown; of this tab only. */
export const chosenId = new Store<string | null>(sessionStorage.getItem(CHOSEN));

chosenId.watch(() => {
  if (chosenId.value === null) sessionStorage.removeItem(CHOSEN);
  else sessionStorage.setItem(CHOSEN, chosenId.value);
});

const database = new ConversationDatabase((id) => void take(id));

database.all().then(
  (found) => conversations.set(newestFirst([...(conversations.value ?? []), ...found])),
  () => {
    storageFailed.set(true);
    conversations.update((present) => present ?? []);
  },
);

export function newId(): string {
  const bits = crypto.getRandomValues(new Uint32Array(3));
  return [...bits].map((part) => part.toString(36)).join("");
}

export function choose(id: string | null): void {
  chosenId.set(id);
}

export function forget(id: string): void {
  if (chosenId.value === id) chosenId.set(null);
  conversations.update((present) => (present ?? []).filter((one) => one.id !== id));
  stored(database.remove(id));
}

/** Puts the messages of a conversation in place, making it if it is new. */
export function keep(id: string, messages: Message[]): void {
  const conversation = { id, title: titleOf(messages), changedAt: Date.now(), messages };
  const others = (conversations.value ?? []).filter((one) => one.id !== id);
  const all = newestFirst([conversation, ...others]);
  const fitting = withinBounds(all);
  conversations.set(fitting);
  stored(database.put(conversation));
  for (const { id: forgotten } of all.slice(fitting.length)) stored(database.remove(forgotten));
}

/** Another tab changed this one. */
async function take(id: string): Promise<void> {
  const found = await database.find(id).catch(() => null);
  const others = (conversations.value ?? []).filter((one) => one.id !== id);
  if (found === null && chosenId.value === id) chosenId.set(null);
  conversations.set(newestFirst(found === null ? others : [found, ...others]));
}

function stored(storing: Promise<void>): void {
  storing.then(
    () => storageFailed.set(false),
    () => storageFailed.set(true),
  );
}

function newestFirst(all: Conversation[]): Conversation[] {
  return all.sort((a, b) => b.changedAt - a.changedAt);
}

function withinBounds(all: Conversation[]): Conversation[] {
  let chars = 0;
  const n = all.slice(0, MAX_CONVERSATIONS).findIndex((conversation, index) => {
    chars += imageChars(conversation);
    return index > 0 && chars > MAX_CHARS;
  });
  return all.slice(0, n < 0 ? MAX_CONVERSATIONS : n);
}

/** What makes a conversation large. */
function imageChars({ messages }: Conversation): number {
  return messages
    .flatMap((message) => (message.role === "user" ? message.images : []))
    .reduce((sum, url) => sum + url.length, 0);
}

function titleOf(messages: Message[]): string {
  const first = messages.find((message): message is UserMessage => message.role === "user");
  const text = (first?.text ?? "").trim().replace(/\s+/g, " ");
  if (text === "") return "Untitled";
  return text.length > MAX_TITLE_CHARS ? `${text.slice(0, MAX_TITLE_CHARS - 1)}…` : text;
}

/** The request without its history; throws BadSettings. */
export function askedWith(
  chosen: Settings,
  conversationId: string,
): Omit<ConversationRequest, "conversation_history"> {
  const tools = parseTools(chosen.tools);
  return {
    ...extrasOf(chosen),
    add_generation_prompt: true,
    enable_thinking: chosen.enableThinking,
    conversation_id: conversationId,
    ...(tools.length > 0 ? { tools, parse_tool_calls: true } : {}),
  };
}

/** The messages before an answer, as the service takes them. */
export function historyOf(messages: readonly Message[], systemPrompt: string): WireMessage[] {
  const history: WireMessage[] = [];
  if (systemPrompt.trim() !== "") history.push({ role: "system", content: systemPrompt });
  for (const message of messages) {
    if (message.role === "user") history.push({ role: "user", content: contentOf(message) });
    else {
      const content = message.answer.text + message.answer.toolText;
      history.push({ role: "assistant", content });
    }
  }
  return history;
}

/** The whole request that an answer came from. */
export function requestOf(
  messages: readonly Message[],
  answer: AssistantMessage,
): ConversationRequest {
  const before = messages.slice(0, messages.indexOf(answer));
  return { conversation_history: historyOf(before, answer.systemPrompt), ...answer.asked };
}

function contentOf(message: UserMessage): string | ContentPart[] {
  if (message.images.length === 0) return message.text;
  const images = message.images.map(
    (url): ContentPart => ({ type: "image_url", image_url: { url } }),
  );
  return message.text === "" ? images : [{ type: "text", text: message.text }, ...images];
}
