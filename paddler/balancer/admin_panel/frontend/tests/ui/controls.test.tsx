// @vitest-environment happy-dom

import { act, fireEvent, render, screen } from "@testing-library/preact";
import { useState } from "preact/hooks";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Button } from "../../src/ui/button";
import { CopyButton } from "../../src/ui/copy";
import { SelectField, TextField } from "../../src/ui/field";
import { RadioGroup } from "../../src/ui/radio-group";
import { Switch } from "../../src/ui/switch";
import { Tabs } from "../../src/ui/tabs";

const ignore = () => undefined;

/** What those hear who come to the element. */
function descriptionOf(element: HTMLElement): string {
  const ids = element.getAttribute("aria-describedby")?.split(" ") ?? [];
  return ids.map((id) => document.getElementById(id)?.textContent ?? "?").join(" ");
}

describe("a field", () => {
  test("is named by its label, and described by its hint and what is wrong with it", () => {
    const { rerender } = render(
      <TextField label="Top p" value="7" onInput={ignore} hint="From 0." error="Too much." />,
    );
    const field = screen.getByRole("textbox", { name: "Top p" });
    expect(descriptionOf(field)).toBe("From 0. Too much.");
    expect(field.getAttribute("aria-invalid")).toBe("true");
    expect(screen.getByRole("alert").textContent).toBe("Too much.");

    rerender(<TextField label="Top p" value="1" onInput={ignore} error={null} />);
    expect(descriptionOf(field)).toBe("");
    expect(field.hasAttribute("aria-invalid")).toBe(false);
    expect(screen.queryByRole("alert")).toBeNull();
  });

  test("tells what is typed, of one line and of many", () => {
    const typed = vi.fn();
    render(
      <>
        <TextField label="One" value="" onInput={typed} />
        <TextField label="Many" rows={3} value="" onInput={typed} />
      </>,
    );
    for (const name of ["One", "Many"]) {
      fireEvent.input(screen.getByRole("textbox", { name }), { target: { value: name } });
    }
    expect(typed.mock.calls).toEqual([["One"], ["Many"]]);
  });

  test("of choices tells the one that is made", () => {
    const onChange = vi.fn();
    const options = [
      ["a", "First"],
      ["b", "Second"],
    ] as const;
    render(<SelectField label="Kind" value="a" options={options} onChange={onChange} />);
    fireEvent.change(screen.getByLabelText("Kind"), { target: { value: "b" } });
    expect(onChange).toHaveBeenCalledExactlyOnceWith("b");
  });
});

test("a switch is on or off, and says so", () => {
  const onChange = vi.fn();
  render(<Switch label="Thinking" hint="Slower." checked={false} onChange={onChange} />);
  const input = screen.getByRole("switch", { name: "Thinking" });
  expect(input.getAttribute("aria-checked")).toBe("false");
  expect(descriptionOf(input)).toBe("Slower.");
  fireEvent.click(input);
  expect(onChange).toHaveBeenCalledExactlyOnceWith(true);
});

test("one of a group is chosen", () => {
  const onChoose = vi.fn();
  const options = [
    ["model", "The model's own"],
    ["written", "Written here"],
  ] as const;
  render(
    <RadioGroup legend="Which" name="n" options={options} chosen="model" onChoose={onChoose} />,
  );
  expect(screen.getByRole("group", { name: "Which" })).toBeTruthy();
  expect(screen.getByRole("radio", { name: "The model's own" })).toMatchObject({ checked: true });
  fireEvent.click(screen.getByRole("radio", { name: "Written here" }));
  expect(onChoose).toHaveBeenCalledExactlyOnceWith("written");
});

test("a button sends no form unless it is made to", () => {
  render(<Button>Do</Button>);
  expect(screen.getByRole("button", { name: "Do" }).getAttribute("type")).toBe("button");
});

const TABS = [
  ["a", "First"],
  ["b", "Second"],
  ["c", "Third"],
] as const;

function ThreeTabs() {
  const [chosen, choose] = useState<"a" | "b" | "c">("a");
  return <Tabs label="Views" tabs={TABS} chosen={chosen} onChoose={choose} />;
}

describe("tabs", () => {
  const chosen = () => screen.getByRole("tab", { selected: true }).textContent;

  test("are moved between with arrow keys, all the way round", () => {
    render(<ThreeTabs />);
    const list = screen.getByRole("tablist", { name: "Views" });
    expect(chosen()).toBe("First");
    fireEvent.keyDown(list, { key: "ArrowLeft" });
    expect(chosen()).toBe("Third");
    expect(document.activeElement?.textContent).toBe("Third");
    fireEvent.keyDown(list, { key: "ArrowRight" });
    expect(chosen()).toBe("First");
    fireEvent.keyDown(list, { key: "ArrowDown" });
    expect(chosen()).toBe("First");
  });

  test("are one stop for the keyboard", () => {
    render(<ThreeTabs />);
    fireEvent.click(screen.getByRole("tab", { name: "Second" }));
    const stops = screen.getAllByRole("tab").map(({ tabIndex }) => tabIndex);
    expect(stops).toEqual([-1, 0, -1]);
  });
});

describe("copying", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test("is confirmed for a moment, and makes its text only then", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("isSecureContext", true);
    const written = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
    const text = vi.fn(() => "curl …");
    render(<CopyButton text={text} label="curl" name="Copy as curl" />);
    expect(text).not.toHaveBeenCalled();
    await act(async () => {
      fireEvent.click(screen.getByRole("button", { name: "Copy as curl" }));
      await vi.advanceTimersByTimeAsync(0);
    });
    expect(written).toHaveBeenCalledExactlyOnceWith("curl …");
    expect(screen.getByRole("status").textContent).toBe("Copied");
    await act(async () => {
      await vi.advanceTimersByTimeAsync(1600);
    });
    expect(screen.getByRole("status").textContent).toBe("");
  });
});
