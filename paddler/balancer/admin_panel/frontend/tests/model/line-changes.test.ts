import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareLines, linesOf, withoutFarLines } from "../../src/model/line-changes";

const texts = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 12 });
const shown = (from: string, to: string) =>
  compareLines([...from], [...to]).map(({ kind, text }) =>
    kind === "same" ? text : `${kind === "added" ? "+" : "-"}${text}`,
  );

test("no text has no lines, an empty line is one", () => {
  expect([linesOf(""), linesOf("\n")]).toEqual([[], ["", ""]]);
});

describe("the comparison", () => {
  test("holds both texts, each in its order", () => {
    fc.assert(
      fc.property(texts, texts, (from, to) => {
        const lines = compareLines(from, to);
        const without = (kind: string) =>
          lines.filter((line) => line.kind !== kind).map(({ text }) => text);
        expect(without("added")).toEqual(from);
        expect(without("removed")).toEqual(to);
      }),
    );
  });

  test("keeps as many lines as can be kept", () => {
    expect(shown("abcd", "acxd")).toEqual(["a", "-b", "c", "+x", "d"]);
    expect(shown("abc", "xyz")).toEqual(["-a", "-b", "-c", "+x", "+y", "+z"]);
    expect(shown("", "ab")).toEqual(["+a", "+b"]);
  });

  test("of very long texts is not made line by line", () => {
    const long = Array.from({ length: 801 }, (_, index) => `line ${index}`);
    expect(compareLines(long, ["one"])).toEqual([
      { kind: "removed", text: "801 lines" },
      { kind: "added", text: "1 lines" },
    ]);
  });
});

test("far lines are those with no change beside them", () => {
  const near = withoutFarLines(compareLines([..."abcdefg"], [..."abcXefg"]));
  expect(near.map(({ text }) => text)).toEqual(["c", "d", "X", "e"]);
  expect(withoutFarLines(compareLines(["a"], ["a"]))).toEqual([]);
});
