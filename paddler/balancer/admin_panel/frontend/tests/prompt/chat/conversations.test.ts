// @vitest-environment happy-dom

import { IDBFactory } from "fake-indexeddb";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Conversations } from "../../../src/prompt/chat/conversations";
import { conversation, newTab, openTab, question } from "../../support/prompt";

const titles = ({ all }: Conversations) => all.value?.map(({ title }) => title);

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  sessionStorage.clear();
});

test("conversations are there again at the next visit, the newest first", async () => {
  const { conversations, database } = await openTab();
  conversations.keep("c1", [question("First")]);
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 1);
  conversations.keep("c2", [question("Second")]);
  await vi.waitFor(async () => expect(await database.all()).toHaveLength(2));
  expect(titles((await openTab()).conversations)).toEqual(["Second", "First"]);
});

test("one that is kept again takes the place of what it was", async () => {
  const { conversations, database } = await openTab();
  conversations.keep("c1", [question("Old wording")]);
  conversations.keep("c1", [question("New wording")]);
  expect(titles(conversations)).toEqual(["New wording"]);
  await vi.waitFor(async () => {
    expect((await database.find("c1"))?.title).toBe("New wording");
  });
});

test("what is kept before the database was read is newer than what is found in it", async () => {
  const { database } = await openTab();
  await database.put(conversation("c1", 1));
  await database.put(conversation("c2", 2));
  const { conversations } = newTab();
  conversations.keep("c1", [question("Newer")]);
  await conversations.open();
  expect(titles(conversations)).toEqual(["Newer", "c2"]);
});

test("one that is forgotten is gone, and not shown", async () => {
  const { conversations, database } = await openTab();
  conversations.keep("c1", [question("First")]);
  conversations.choose("c1");
  conversations.forget("c1");
  expect(titles(conversations)).toEqual([]);
  expect(conversations.chosenId.value).toBeNull();
  await vi.waitFor(async () => expect(await database.all()).toEqual([]));
});

test("the one that is shown is shown again in this tab", async () => {
  const { conversations } = await openTab();
  conversations.choose("c1");
  expect((await openTab()).conversations.chosenId.value).toBe("c1");
});

describe("there is no end of room", () => {
  test("so the ones used longest ago are forgotten", async () => {
    const { conversations, database } = await openTab();
    const now = vi.spyOn(Date, "now");
    for (let n = 0; n < 52; n += 1) {
      now.mockReturnValue(n);
      conversations.keep(`c${n}`, [question(`Number ${n}`)]);
    }
    expect(conversations.all.value).toHaveLength(50);
    expect(titles(conversations)?.at(-1)).toBe("Number 2");
    await vi.waitFor(async () => expect(await database.all()).toHaveLength(50));
    expect(await database.find("c1")).toBeNull();
  });

  test("and images take most of it; the newest is kept whatever its size", async () => {
    const { conversations } = await openTab();
    const image = "x".repeat(40_000_000);
    const now = vi.spyOn(Date, "now").mockReturnValue(1);
    conversations.keep("c1", [question("Old", [image])]);
    now.mockReturnValue(2);
    conversations.keep("c2", [question("New", [image])]);
    expect(titles(conversations)).toEqual(["New"]);
  });
});

describe("another tab", () => {
  test("that keeps one is followed", async () => {
    const [here, there] = [await openTab(), await openTab()];
    there.conversations.keep("c1", [question("From there")]);
    await vi.waitFor(() => expect(titles(here.conversations)).toEqual(["From there"]));
  });

  test("that forgets the one shown here leaves nothing to be shown", async () => {
    const [here, there] = [await openTab(), await openTab()];
    here.conversations.keep("c1", [question("First")]);
    here.conversations.choose("c1");
    await vi.waitFor(() => expect(titles(there.conversations)).toEqual(["First"]));
    there.conversations.forget("c1");
    await vi.waitFor(() => expect(titles(here.conversations)).toEqual([]));
    expect(here.conversations.chosenId.value).toBeNull();
  });
});

test("without a database conversations last as long as the page, and that is told", async () => {
  vi.stubGlobal("indexedDB", undefined);
  const { conversations, storage } = await openTab();
  expect(titles(conversations)).toEqual([]);
  expect(storage.failed.value).toBe(true);
  conversations.keep("c1", [question("First")]);
  expect(titles(conversations)).toEqual(["First"]);
});
