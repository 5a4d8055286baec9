import { describe, expect, test } from "vitest";
import { bytes, count, milliseconds, parameters, percent, plural, rate } from "../../src/ui/format";

test("counts are grouped by thousands", () => {
  expect(count(0)).toBe("0");
  expect(count(1_234_567)).toBe("1,234,567");
});

test("rates have one decimal while it tells something", () => {
  expect(rate(0)).toBe("0");
  expect(rate(7)).toBe("7");
  expect(rate(7.25)).toBe("7.3");
  expect(rate(99.94)).toBe("99.9");
  expect(rate(100.4)).toBe("100");
});

describe("bytes", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [123_456_789, "123.5 MB"],
    [7.9e9, "7.9 GB"],
    [2.5e15, "2,500.0 TB"],
  ])("%d is %s", (value, text) => {
    expect(bytes(value)).toBe(text);
  });
});

test("parameters are counted in millions, then in billions", () => {
  expect(parameters(268e6)).toBe("268 M parameters");
  expect(parameters(7.24e9)).toBe("7.2 B parameters");
});

test("a second and more is told in seconds", () => {
  expect(milliseconds(83.4)).toBe("83 ms");
  expect(milliseconds(999)).toBe("999 ms");
  expect(milliseconds(1000)).toBe("1.0 s");
});

test("shares are per cent", () => {
  expect(percent(0.354)).toBe("35 %");
  expect(percent(1)).toBe("100 %");
});

test("one thing is singular, none and many are plural", () => {
  expect([0, 1, 2].map((n) => plural(n, "agent"))).toEqual(["0 agents", "1 agent", "2 agents"]);
});
