import { useEffect, useState } from "preact/hooks";
import type { Store } from "./store";

/** The store's value; the component is rendered again whenever it changes. */
export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState<{ of: Store<T>; now: T }>({ of: store, now: store.value });
  useEffect(() => {
    const take = () => setValue({ of: store, now: store.value });
    take();
    return store.watch(take);
  }, [store]);
  return value.of === store ? value.now : store.value;
}
