// @vitest-environment happy-dom

import { beforeEach, describe, expect, test, vi } from "vitest";
import { BrowserStorage, text } from "../../src/store/browser-storage";

const number = (kept: unknown) => (typeof kept === "number" ? kept : -1);

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

describe("a shared store", () => {
  test("is kept for the next visit", () => {
    new BrowserStorage().shared("k", 1, number).set(7);
    expect(new BrowserStorage().shared("k", 1, number).value).toBe(7);
  });

  test.each([
    ["nothing", null, 1],
    ["something else", '"seven"', -1],
    ["no JSON", "{", 1],
  ])("where %s was kept has a value all the same", (_what, kept, value) => {
    if (kept !== null) localStorage.setItem("k", kept);
    expect(new BrowserStorage().shared("k", 1, number).value).toBe(value);
  });

  test("follows what another tab puts there, repaired", () => {
    const store = new BrowserStorage().shared("k", 1, number);
    const elsewhere = (key: string, newValue: string | null) =>
      window.dispatchEvent(new StorageEvent("storage", { key, newValue }));
    elsewhere("another", "5");
    expect(store.value).toBe(1);
    elsewhere("k", "5");
    expect(store.value).toBe(5);
    elsewhere("k", null);
    expect(store.value).toBe(1);
  });
});

test("a store of a tab is a text, and gone when it is null", () => {
  const store = new BrowserStorage().ofTab("t");
  expect(store.value).toBeNull();
  store.set("x");
  expect(new BrowserStorage().ofTab("t").value).toBe("x");
  store.set(null);
  expect(sessionStorage.getItem("t")).toBeNull();
});

describe("a browser that keeps nothing", () => {
  function forbid(name: "localStorage" | "sessionStorage") {
    vi.spyOn(window, name, "get").mockImplementation(() => {
      throw new DOMException("storage is off", "SecurityError");
    });
  }

  test("is no error, and the stores last as long as the page", () => {
    forbid("localStorage");
    forbid("sessionStorage");
    const storage = new BrowserStorage();
    const [shared, ofTab] = [storage.shared("k", "a", text), storage.ofTab("t")];
    expect(storage.failed.value).toBe(false);
    shared.set("b");
    ofTab.set("c");
    expect([shared.value, ofTab.value]).toEqual(["b", "c"]);
    expect(storage.failed.value).toBe(true);
  });

  test("is told of until everything is kept again", () => {
    const storage = new BrowserStorage();
    storage.note("conversations", false);
    storage.shared("k", "a", text).set("b");
    expect(storage.failed.value).toBe(true);
    storage.note("conversations", true);
    expect(storage.failed.value).toBe(false);
  });
});

test("what is no text is repaired to none", () => {
  expect(["x", 7, null].map(text)).toEqual(["x", "", ""]);
});
