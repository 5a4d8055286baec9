/** Nothing happens when a module is imported, but for the one that starts the panel. */

import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const SOURCE = resolve(import.meta.dirname, "../src");
const MODULES = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" })
  .filter((path) => /(?<!\.d)\.tsx?$/.test(path) && path !== "main.tsx")
  .sort();

// There is no browser here: whoever looked for its storage or its page would throw.
test.each(MODULES)("%s", async (path) => {
  expect(typeof document).toBe("undefined");
  await expect(import(resolve(SOURCE, path))).resolves.toBeDefined();
});
