import type { BrowserStorage } from "../../store/browser-storage";
import { Store } from "../../store/store";
import { type Conversation, type Message, titleOf } from "./conversation";
import type { ConversationDatabase } from "./conversation-database";

/** More than these are forgotten, the ones used longest ago first. */
const MAX_CONVERSATIONS = 50;
const MAX_CHARS = 64_000_000;
const KEY = "paddler.prompt.conversation";

/** The conversations of this browser, and which one this tab shows. */
export class Conversations {
  /** Newest first; null until they are read. */
  readonly all = new Store<Conversation[] | null>(null);
  /** The one that is shown; of this tab only. */
  readonly chosenId: Store<string | null>;

  constructor(
    private readonly database: ConversationDatabase,
    private readonly storage: BrowserStorage,
  ) {
    this.chosenId = storage.ofTab(KEY);
  }

  /** Reads what is kept, and follows what other tabs change of it. */
  async open(): Promise<void> {
    this.database.followOtherTabs((id) => void this.take(id));
    try {
      const found = await this.database.all();
      this.all.update((present) => merged(present ?? [], found));
    } catch {
      this.storage.note(KEY, false);
      this.all.update((present) => present ?? []);
    }
  }

  choose(id: string | null): void {
    this.chosenId.set(id);
  }

  forget(id: string): void {
    if (this.chosenId.value === id) this.chosenId.set(null);
    this.all.update((present) => without(present, id));
    this.noteKept(this.database.remove(id));
  }

  /** Puts the messages of a conversation in place, making it if it is new. */
  keep(id: string, messages: Message[]): void {
    const conversation = { id, title: titleOf(messages), changedAt: Date.now(), messages };
    const all = newestFirst([conversation, ...without(this.all.value, id)]);
    const fitting = withinBounds(all);
    this.all.set(fitting);
    this.noteKept(this.database.put(conversation));
    for (const { id: forgotten } of all.slice(fitting.length)) {
      this.noteKept(this.database.remove(forgotten));
    }
  }

  /** Another tab changed this one. */
  private async take(id: string): Promise<void> {
    const found = await this.database.find(id).catch(() => null);
    const others = without(this.all.value, id);
    if (found === null && this.chosenId.value === id) this.chosenId.set(null);
    this.all.set(newestFirst(found === null ? others : [found, ...others]));
  }

  private noteKept(storing: Promise<void>): void {
    storing.then(
      () => this.storage.note(KEY, true),
      () => this.storage.note(KEY, false),
    );
  }
}

function without(all: readonly Conversation[] | null, id: string): Conversation[] {
  return (all ?? []).filter((one) => one.id !== id);
}

function merged(present: readonly Conversation[], found: readonly Conversation[]): Conversation[] {
  const known = new Set(present.map(({ id }) => id));
  return newestFirst([...present, ...found.filter(({ id }) => !known.has(id))]);
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
