// @vitest-environment happy-dom

import { render, screen } from "@testing-library/preact";
import { describe, expect, test } from "vitest";
import type { RolloutView } from "../../src/api/messages";
import { DownloadProgress } from "../../src/fleet/download-progress";
import { Rollout } from "../../src/fleet/rollout";
import { dashboard } from "../support/messages";

const NOBODY = { applied: 0, applying: 0, failed: 0, kept_back: 0, waiting: 0 };

function told(rollout: Partial<RolloutView>): string | null {
  render(<Rollout dashboard={dashboard({ rollout: { ...NOBODY, ...rollout } })} />);
  return screen.queryByTestId("rollout")?.textContent ?? null;
}

describe("a rollout", () => {
  test.each([
    ["that is over", { applied: 3 }],
    ["of nobody", {}],
  ])("%s is not shown", (_which, rollout) => {
    expect(told(rollout)).toBeNull();
  });

  test("on its way tells how far it got", () => {
    const text = told({ applied: 1, applying: 1, waiting: 2 });
    expect(text).toContain("on its way. It is served by 1 of 4 agents.");
    expect(text).toContain("1 swapping · 2 waiting for their turn");
    expect(screen.getByRole("progressbar")).toMatchObject({ value: 1, max: 4 });
  });

  test("that failed where it was tried first keeps the others back", () => {
    const text = told({ failed: 1, kept_back: 2 });
    expect(text).toContain("The new state failed.");
    expect(text).toContain("The state before stays with 2 agents until it is corrected.");
  });

  test("that failed somewhere, but is served elsewhere, goes on", () => {
    expect(told({ applied: 1, failed: 1 })).toContain("on its way");
  });
});

describe("a download", () => {
  const download = { filename: "m.gguf", current_bytes: 42e6, total_bytes: 120e6 };

  test("tells its share and size", () => {
    render(<DownloadProgress download={{ ...download, indeterminate: false }} />);
    expect(screen.getByText("35 % of 120.0 MB")).toBeTruthy();
    expect(screen.getByRole("progressbar", { name: "Progress of m.gguf" })).toMatchObject({
      value: 0.35,
    });
  });

  test("of which nothing is known is in progress", () => {
    const nothing = { filename: "m.gguf", current_bytes: 0, total_bytes: 0 };
    render(<DownloadProgress download={{ ...nothing, indeterminate: true }} />);
    expect(screen.getByText("in progress")).toBeTruthy();
    expect(screen.getByRole("progressbar").hasAttribute("value")).toBe(false);
  });

  test("that is a load counts in hundredths, which are no bytes", () => {
    const load = { filename: "loading", current_bytes: 30, total_bytes: 100 };
    render(<DownloadProgress download={{ ...load, indeterminate: false }} />);
    expect(screen.getByText("30 %")).toBeTruthy();
  });
});
