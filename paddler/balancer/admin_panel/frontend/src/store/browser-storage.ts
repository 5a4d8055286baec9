import { Store } from "./store";

/** Stores kept in the browser; where it keeps nothing, they last as long as the page. */
export class BrowserStorage {
  /** Something is not kept, because the browser's storage is full or off. */
  readonly failed = new Store(false);

  private readonly unkept = new Set<string>();

  /** Takes note of whether what belongs to `key` was kept the last time. */
  note(key: string, isKept: boolean): void {
    if (isKept) this.unkept.delete(key);
    else this.unkept.add(key);
    this.failed.set(this.unkept.size > 0);
  }

  /**
   * A store kept under `key`, the same in all tabs. `repair` makes a value of
   * whatever an older or newer panel left there.
   */
  shared<T>(key: string, fallback: T, repair: (found: unknown) => T): Store<T> {
    const parsed = (kept: string | null): T => {
      try {
        return kept === null ? fallback : repair(JSON.parse(kept));
      } catch {
        return fallback;
      }
    };
    // Where storage is off, the browser throws as soon as it is named.
    const store = new Store(parsed(keptIn(() => localStorage.getItem(key))));
    store.watch(() => this.keep(key, () => localStorage.setItem(key, JSON.stringify(store.value))));
    window.addEventListener("storage", (event) => {
      if (event.key === key) store.set(parsed(event.newValue));
    });
    return store;
  }

  /** A text kept under `key` for as long as this tab is open. */
  ofTab(key: string): Store<string | null> {
    const store = new Store(keptIn(() => sessionStorage.getItem(key)));
    store.watch(() =>
      this.keep(key, () => {
        if (store.value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, store.value);
      }),
    );
    return store;
  }

  private keep(key: string, write: () => void): void {
    try {
      write();
      this.note(key, true);
    } catch {
      this.note(key, false);
    }
  }
}

function keptIn(read: () => string | null): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Repairs a store of text. */
export const text = (kept: unknown): string => (typeof kept === "string" ? kept : "");
