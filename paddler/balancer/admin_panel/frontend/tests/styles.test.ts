/** A component has one stylesheet at most, and both know the same classes. */

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { preprocessCSS, resolveConfig } from "vite";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const ENDING = ".module.css";
const SOURCES = readdirSync(resolve(ROOT, "src"), { recursive: true, encoding: "utf-8" })
  .map((path) => `src/${path}`)
  .sort();
const STYLESHEETS = SOURCES.filter((path) => path.endsWith(ENDING));

const read = (path: string) => readFileSync(resolve(ROOT, path), "utf-8");
const found = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, name = ""]) => name);

/** Its classes, by what each is called in the built panel. */
async function classesOf(stylesheet: string): Promise<Map<string, string>> {
  const config = await resolveConfig({ root: ROOT, logLevel: "silent" }, "build");
  const { modules } = await preprocessCSS(read(stylesheet), resolve(ROOT, stylesheet), config);
  return new Map(Object.entries(modules ?? {}).map(([name, built]) => [built, name]));
}

test.each(STYLESHEETS)("%s has the classes that its component uses", async (stylesheet) => {
  const component = read(stylesheet.replace(ENDING, ".tsx"));
  const used = new Set(found(component, /\bstyles\.(\w+)/g));
  const there = new Set((await classesOf(stylesheet)).values());
  expect([...there].sort()).toEqual([...used].sort());
});

test("a stylesheet is its component's alone", () => {
  for (const source of SOURCES.filter((path) => path.endsWith(".tsx"))) {
    for (const imported of found(read(source), /"([^"]+\.module\.css)"/g)) {
      const own = source.replace(/^.*\//, "./").replace(/\.tsx$/, ENDING);
      expect(imported, source).toBe(own);
    }
  }
});

test("no two components have a class of the same name once they are built", async () => {
  const all = (await Promise.all(STYLESHEETS.map(classesOf))).flatMap((classes) => [
    ...classes.keys(),
  ]);
  const twice = all.filter((name, index) => all.indexOf(name) !== index);
  expect(twice).toEqual([]);
});

test("what holds for every component is said in two places", () => {
  const others = SOURCES.filter((path) => path.endsWith(".css") && !path.endsWith(ENDING));
  expect(others).toEqual(["src/ui/base.css", "src/ui/tokens.css"]);
});
