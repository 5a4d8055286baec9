import type { Services } from "../api/services";
import type { BrowserStorage } from "../store/browser-storage";
import { Store } from "../store/store";
import { ChatSession } from "./chat/chat-session";
import { ConversationDatabase } from "./chat/conversation-database";
import { Conversations } from "./chat/conversations";
import { openDocuments } from "./embeddings/embeddings";
import { RawPromptSession } from "./raw-prompt/raw-prompt-session";
import { openSettings, type Settings } from "./settings/settings";

/** What is sent: each is a tab of the page. */
export const MODES = [
  ["chat", "Chat"],
  ["raw", "Raw prompt"],
  ["embeddings", "Embeddings"],
] as const;

export type Mode = (typeof MODES)[number][0];

/** What the page keeps while another one is looked at, much of it also for the next visit. */
export interface PromptState {
  mode: Store<Mode>;
  settings: Store<Settings>;
  chat: ChatSession;
  rawPrompt: RawPromptSession;
  documents: Store<string[]>;
  storageFailed: Store<boolean>;
}

/** Opens what the browser kept; conversations arrive when its database has read them. */
export function openPromptState(services: Services, storage: BrowserStorage): PromptState {
  const settings = openSettings(storage);
  const conversations = new Conversations(ConversationDatabase.open(), storage);
  void conversations.open();
  return {
    mode: new Store<Mode>("chat"),
    settings,
    chat: new ChatSession(services, settings, conversations),
    rawPrompt: new RawPromptSession(services, settings, storage),
    documents: openDocuments(storage),
    storageFailed: storage.failed,
  };
}
