/** A value with watchers, and its Preact hook; values are replaced, never changed in place. */

import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  private readonly watchers = new Set<() => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    for (const watcher of [...this.watchers]) watcher();
  }

  update(change: (value: T) => T): void {
    this.set(change(this.current));
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState<{ of: Store<T>; now: T }>({ of: store, now: store.value });
  useEffect(() => {
    const take = () => setValue({ of: store, now: store.value });
    take();
    return store.watch(take);
  }, [store]);
  return value.of === store ? value.now : store.value;
}

/** Whether something could not be kept because the browser's storage is full or off. */
export const storageFailed = new Store(false);

/**
 * A store kept in the browser under `key`, the same in all of its tabs.
 * `repair` makes a value of whatever an older or newer panel left there;
 * unreadable or full storage is no error.
 */
export function storedStore<T>(key: string, fallback: T, repair: (found: unknown) => T): Store<T> {
  const store = new Store(read(localStorage.getItem.bind(localStorage), key, fallback, repair));
  store.watch(() => {
    try {
      localStorage.setItem(key, JSON.stringify(store.value));
      storageFailed.set(false);
    } catch {
      storageFailed.set(true);
    }
  });
  window.addEventListener("storage", (event) => {
    if (event.key === key) store.set(read(() => event.newValue, key, fallback, repair));
  });
  return store;
}

function read<T>(
  find: (key: string) => string | null,
  key: string,
  fallback: T,
  repair: (found: unknown) => T,
): T {
  try {
    const text = find(key);
    return text === null ? fallback : repair(JSON.parse(text));
  } catch {
    return fallback;
  }
}

export const text = (found: unknown): string => (typeof found === "string" ? found : "");
