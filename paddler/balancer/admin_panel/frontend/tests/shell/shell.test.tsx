// @vitest-environment happy-dom

import { act, fireEvent, render, screen } from "@testing-library/preact";
import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Live } from "../../src/api/live";
import { App } from "../../src/shell/app";
import { Notices } from "../../src/shell/notices";
import { PAGES, pageAt } from "../../src/shell/pages";
import { openPanel } from "../../src/shell/panel";
import { ThemeChoice } from "../../src/shell/theme-choice";
import { BrowserStorage } from "../../src/store/browser-storage";
import { openTheme } from "../../src/ui/theme";
import { scriptedServices } from "../support/scripted-services";

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal("indexedDB", new IDBFactory());
});

afterEach(() => {
  vi.useRealTimers();
});

test("every address has a page, the dashboard where there is none", () => {
  expect(PAGES.map(({ path }) => pageAt(`#/${path}`).path)).toEqual(PAGES.map(({ path }) => path));
  expect(["", "#", "#/nowhere", "#main"].map((hash) => pageAt(hash).path)).toEqual(
    Array.from({ length: 4 }, () => "dashboard"),
  );
});

test("the page follows the address, and the title the page", () => {
  window.location.hash = "#/prompt";
  vi.stubGlobal("scrollTo", vi.fn());
  const config = { version: "0.1.0", managementUrl: "http://m", inferenceUrl: "http://i" };
  render(<App panel={openPanel(config)} />);
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("Prompt");
  expect(document.title).toBe("Prompt – Paddler");
  window.location.hash = "#/dashboard";
  fireEvent(window, new Event("hashchange"));
  expect(document.title).toBe("Dashboard – Paddler");
  const current = screen.getByRole("link", { current: "page" });
  expect(current.textContent).toBe("Dashboard");
});

describe("what the whole panel tells", () => {
  function shown() {
    const { services } = scriptedServices();
    const live = new Live(services);
    render(<Notices services={services} live={live} />);
    return { live, text: () => screen.getByRole("status").textContent };
  }

  test("is one thing, the gravest first", () => {
    const { live, text } = shown();
    expect(text()).toBe("");
    act(() => live.notice.set("Connected again."));
    expect(text()).toBe("Connected again.");
    act(() => live.isOutdated.set(true));
    expect(text()).toContain("of another version now");
    act(() => live.connection.set("down"));
    expect(text()).toContain("cannot be reached at http://box:8060");
  });

  test("is good news for a while only", () => {
    vi.useFakeTimers();
    const { live, text } = shown();
    act(() => live.notice.set("Connected again."));
    act(() => {
      vi.advanceTimersByTime(8000);
    });
    expect(text()).toBe("");
  });
});

test("the theme goes round, is applied, and kept", () => {
  const { dataset } = document.documentElement;
  render(<ThemeChoice theme={openTheme(new BrowserStorage())} />);
  const choose = () => fireEvent.click(screen.getByRole("button"));
  expect(screen.getByRole("button", { name: "Theme: Auto. Switch to Light" })).toBeTruthy();
  choose();
  expect(dataset.theme).toBe("light");
  choose();
  expect(dataset.theme).toBe("dark");
  expect(openTheme(new BrowserStorage()).value).toBe("dark");
  choose();
  expect(dataset.theme).toBeUndefined();
});
