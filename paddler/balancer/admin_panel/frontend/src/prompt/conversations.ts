/** Conversations, kept in the browser. */

import { storedStore } from "../api/store";
import type { ContentPart, ConversationRequest, WireMessage } from "../api/types";
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
  messages: Message[];
}

interface Kept {
  chosenId: string | null;
  conversations: Conversation[];
}

/** More than these are forgotten, oldest first: browser storage is small. */
const MAX_CONVERSATIONS = 50;
const MAX_TITLE_CHARS = 48;

export const kept = storedStore<Kept>("paddler.prompt.conversations", {
  chosenId: null,
  conversations: [],
});

export function newId(): string {
  const bits = crypto.getRandomValues(new Uint32Array(3));
  return [...bits].map((part) => part.toString(36)).join("");
}

export function chosenConversation(state: Kept): Conversation | null {
  return state.conversations.find(({ id }) => id === state.chosenId) ?? null;
}

export function choose(id: string | null): void {
  kept.update((state) => ({ ...state, chosenId: id }));
}

export function forget(id: string): void {
  kept.update((state) => ({
    chosenId: state.chosenId === id ? null : state.chosenId,
    conversations: state.conversations.filter((conversation) => conversation.id !== id),
  }));
}

/** Puts the messages of a conversation in place, making it if it is new, and chooses it. */
export function keep(id: string, messages: Message[]): void {
  kept.update((state) => {
    const others = state.conversations.filter((conversation) => conversation.id !== id);
    const conversation = { id, title: titleOf(messages), messages };
    return { chosenId: id, conversations: [conversation, ...others].slice(0, MAX_CONVERSATIONS) };
  });
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
export function requestOf(messages: readonly Message[], answer: AssistantMessage): ConversationRequest {
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
