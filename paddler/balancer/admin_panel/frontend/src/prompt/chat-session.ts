/** The answer that is being written; it goes on while another page is looked at. */

import type { Services } from "../api/services";
import { Store } from "../api/store";
import {
  type AssistantMessage,
  askedWith,
  choose,
  conversations,
  historyOf,
  keep,
  type Message,
  newId,
} from "./conversations";
import { type Answer, EMPTY_ANSWER, generate } from "./generation";
import { settings } from "./settings";

export const CHAT_PATH = "continue_from_conversation_history";

/** How often what arrived so far is kept, for a page that is closed meanwhile. */
const KEEP_EVERY_MS = 2000;

interface Running {
  conversationId: string;
  before: Message[];
  message: AssistantMessage;
  stop: AbortController;
}

export const running = new Store<Running | null>(null);

/** What is typed and attached, not yet sent. */
export const unsent = new Store<{ text: string; images: string[] }>({ text: "", images: [] });

/**
 * Asks for the answer to `before`, in the conversation `id` or a new one.
 * Throws BadSettings, and then nothing was sent.
 */
export function ask(services: Services, id: string | null, before: Message[]): void {
  const conversationId = id ?? newId();
  const chosen = settings.value;
  const unanswered: AssistantMessage = {
    role: "assistant",
    id: newId(),
    answer: EMPTY_ANSWER,
    asked: askedWith(chosen, conversationId),
    systemPrompt: chosen.systemPrompt,
  };
  const stop = new AbortController();
  let keptAt = performance.now();
  const show = (answer: Answer) => {
    const message = { ...unanswered, answer };
    running.set({ conversationId, before, message, stop });
    if (answer.ended === "running" && performance.now() - keptAt > KEEP_EVERY_MS) {
      keptAt = performance.now();
      keepIfWanted(conversationId, [...before, { ...message, answer: broken(answer) }]);
    }
  };
  keep(conversationId, before);
  choose(conversationId);
  show(EMPTY_ANSWER);
  const body = {
    conversation_history: historyOf(before, unanswered.systemPrompt),
    ...unanswered.asked,
  };
  void generate(services, { path: CHAT_PATH, body }, stop.signal, show).then((answer) => {
    keepIfWanted(conversationId, [...before, { ...unanswered, answer }]);
    running.set(null);
  });
}

/** A conversation that was deleted meanwhile does not come back. */
function keepIfWanted(id: string, messages: Message[]): void {
  if (conversations.value?.some((one) => one.id === id)) keep(id, messages);
}

/** How the answer is kept should the page be closed before its end. */
function broken(answer: Answer): Answer {
  return { ...answer, ended: "stopped" };
}
