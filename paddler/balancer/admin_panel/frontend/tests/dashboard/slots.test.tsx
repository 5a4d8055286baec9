// @vitest-environment happy-dom

import { render, screen } from "@testing-library/preact";
import { expect, test } from "vitest";
import { Slots } from "../../src/dashboard/slots";

test("each slot is told, and how many of each there are", () => {
  render(
    <Slots
      slots={[
        { state: "decode", cached_tokens: 1200 },
        { state: "prefill", cached_tokens: 0 },
        { state: "free", cached_tokens: 7 },
        { state: "free", cached_tokens: 0 },
      ]}
    />,
  );
  const told = screen.getAllByRole("listitem").map(({ textContent }) => textContent);
  expect(told).toEqual([
    "Slot 0: generating, 1,200 tokens cached",
    "Slot 1: reading a prompt",
    "Slot 2: free, 7 tokens cached",
    "Slot 3: free",
  ]);
  for (const text of ["1 generating", "1 prefilling", "1 cached", "1 free"]) {
    expect(screen.getByText(text)).toBeTruthy();
  }
});
