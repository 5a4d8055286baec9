import type { Services } from "../../api/services";
import { Store } from "../../store/store";
import { type Answer, EMPTY_ANSWER } from "../answer/answer";
import { generate } from "../answer/generation";
import type { Settings } from "../settings/settings";
import { type AssistantMessage, askedWith, historyOf, type Message, newId } from "./conversation";
import type { Conversations } from "./conversations";

export const CHAT_PATH = "continue_from_conversation_history";

/** How often what arrived so far is kept, for a page that is closed meanwhile. */
const KEEP_EVERY_MS = 2000;

/** What is typed and attached, not yet sent. */
export interface Unsent {
  text: string;
  /** Data URIs. */
  images: string[];
}

export const NOTHING_UNSENT: Unsent = { text: "", images: [] };

interface Running {
  conversationId: string;
  before: Message[];
  message: AssistantMessage;
  stop: AbortController;
}

/** The answer that is being written; it goes on while another page is looked at. */
export class ChatSession {
  readonly running = new Store<Running | null>(null);
  readonly unsent = new Store<Unsent>(NOTHING_UNSENT);

  constructor(
    private readonly services: Services,
    private readonly settings: Store<Settings>,
    readonly conversations: Conversations,
  ) {}

  /**
   * Asks for the answer to `before`, in the conversation `id` or a new one.
   * Throws BadSettings, and then nothing was sent.
   */
  ask(id: string | null, before: Message[]): void {
    const conversationId = id ?? newId();
    const { systemPrompt } = this.settings.value;
    const unanswered: AssistantMessage = {
      role: "assistant",
      id: newId(),
      answer: EMPTY_ANSWER,
      asked: askedWith(this.settings.value, conversationId),
      systemPrompt,
    };
    const stop = new AbortController();
    let keptAt = performance.now();
    const show = (answer: Answer) => {
      const message = { ...unanswered, answer };
      this.running.set({ conversationId, before, message, stop });
      if (answer.ended === "running" && performance.now() - keptAt > KEEP_EVERY_MS) {
        keptAt = performance.now();
        this.keepIfWanted(conversationId, [...before, { ...message, answer: broken(answer) }]);
      }
    };
    this.conversations.keep(conversationId, before);
    this.conversations.choose(conversationId);
    show(EMPTY_ANSWER);
    const body = {
      conversation_history: historyOf(before, systemPrompt),
      ...unanswered.asked,
    };
    void generate(this.services, { path: CHAT_PATH, body }, stop.signal, show).then((answer) => {
      this.keepIfWanted(conversationId, [...before, { ...unanswered, answer }]);
      this.running.set(null);
    });
  }

  /** A conversation that was deleted meanwhile does not come back. */
  private keepIfWanted(id: string, messages: Message[]): void {
    const isThere = this.conversations.all.value?.some((one) => one.id === id);
    if (isThere) this.conversations.keep(id, messages);
  }
}

/** How the answer is kept should the page be closed before its end. */
function broken(answer: Answer): Answer {
  return { ...answer, ended: "stopped" };
}
