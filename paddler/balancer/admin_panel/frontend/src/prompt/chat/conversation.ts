/** A conversation: what it holds, what it is called, what the service is sent of it. */

import type {
  ContentPart,
  ContinueFromConversationHistory,
  ConversationMessage,
} from "../../api/messages";
import type { Answer } from "../answer/answer";
import { extrasOf, parseTools, type Settings } from "../settings/settings";

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
  asked: AskedWith;
  systemPrompt: string;
}

/** A request without its history. */
export type AskedWith = Omit<ContinueFromConversationHistory, "conversation_history">;

export type Message = UserMessage | AssistantMessage;

export interface Conversation {
  id: string;
  title: string;
  /** When it was changed last, in Unix milliseconds. */
  changedAt: number;
  messages: Message[];
}

const MAX_TITLE_CHARS = 48;

export function newId(): string {
  const bits = crypto.getRandomValues(new Uint32Array(3));
  return [...bits].map((part) => part.toString(36)).join("");
}

/** The beginning of the first thing that was asked. */
export function titleOf(messages: readonly Message[]): string {
  const first = messages.find((message): message is UserMessage => message.role === "user");
  const asked = (first?.text ?? "").trim().replace(/\s+/g, " ");
  if (asked === "") return "Untitled";
  return asked.length > MAX_TITLE_CHARS ? `${asked.slice(0, MAX_TITLE_CHARS - 1)}…` : asked;
}

/** The request without its history; throws BadSettings. */
export function askedWith(settings: Settings, conversationId: string): AskedWith {
  const tools = parseTools(settings.tools);
  return {
    ...extrasOf(settings),
    add_generation_prompt: true,
    enable_thinking: settings.enableThinking,
    conversation_id: conversationId,
    ...(tools.length > 0 ? { tools, parse_tool_calls: true } : {}),
  };
}

/** The messages before an answer, as the service takes them. */
export function historyOf(
  messages: readonly Message[],
  systemPrompt: string,
): ConversationMessage[] {
  const history: ConversationMessage[] = [];
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
): ContinueFromConversationHistory {
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
