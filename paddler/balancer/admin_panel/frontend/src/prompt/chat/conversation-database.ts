import type { Conversation } from "./conversation";

const NAME = "paddler";
const VERSION = 1;
const TABLE = "conversations";

/**
 * Conversations in the browser's database: with images they are far larger than
 * what `localStorage` takes. Other tabs of the panel are told of changes.
 */
export class ConversationDatabase {
  private constructor(
    private readonly database: Promise<IDBDatabase>,
    private readonly otherTabs: BroadcastChannel,
  ) {}

  /** Where the browser has none, everything that is asked of it is rejected. */
  static open(): ConversationDatabase {
    const database = openDatabase();
    // Who uses it hears of the failure; nobody may, and that is no error of the page.
    database.catch(() => undefined);
    return new ConversationDatabase(database, new BroadcastChannel("paddler.conversations"));
  }

  /** Calls `onChange` with the id of every conversation that another tab changes. */
  followOtherTabs(onChange: (id: string) => void): void {
    this.otherTabs.onmessage = (event) => onChange(String(event.data));
  }

  async all(): Promise<Conversation[]> {
    return (await this.run("readonly", (table) => table.getAll())) as Conversation[];
  }

  async find(id: string): Promise<Conversation | null> {
    return ((await this.run("readonly", (table) => table.get(id))) ?? null) as Conversation | null;
  }

  async put(conversation: Conversation): Promise<void> {
    await this.run("readwrite", (table) => table.put(conversation));
    this.otherTabs.postMessage(conversation.id);
  }

  async remove(id: string): Promise<void> {
    await this.run("readwrite", (table) => table.delete(id));
    this.otherTabs.postMessage(id);
  }

  async close(): Promise<void> {
    this.otherTabs.close();
    (await this.database).close();
  }

  private async run(
    mode: IDBTransactionMode,
    work: (table: IDBObjectStore) => IDBRequest,
  ): Promise<unknown> {
    const transaction = (await this.database).transaction(TABLE, mode);
    const request = work(transaction.objectStore(TABLE));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? new Error("nothing was stored"));
    });
  }
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE, { keyPath: "id" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error ?? new Error("the database cannot be opened"));
  });
}
