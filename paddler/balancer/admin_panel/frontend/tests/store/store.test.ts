import { expect, test, vi } from "vitest";
import { Store } from "../../src/store/store";

test("watchers hear of every change, and of nothing else", () => {
  const store = new Store(1);
  const watcher = vi.fn();
  store.watch(watcher);
  store.set(1);
  expect(watcher).not.toHaveBeenCalled();
  store.set(2);
  store.update((value) => value + 1);
  expect(store.value).toBe(3);
  expect(watcher).toHaveBeenCalledTimes(2);
});

test("who stops watching hears nothing more, even while others are told", () => {
  const store = new Store("a");
  const heard: string[] = [];
  const stopSecond = vi.fn();
  store.watch(() => {
    heard.push(`first ${store.value}`);
    stopSecond();
  });
  stopSecond.mockImplementation(store.watch(() => heard.push(`second ${store.value}`)));
  store.set("b");
  store.set("c");
  expect(heard).toEqual(["first b", "second b", "first c"]);
});

test("not a number is the same as itself", () => {
  const store = new Store(Number.NaN);
  const watcher = vi.fn();
  store.watch(watcher);
  store.set(Number.NaN);
  expect(watcher).not.toHaveBeenCalled();
});
