import { basename, dirname } from "node:path";
import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the panel also works below a path of a reverse proxy.
  base: "./",
  css: {
    modules: {
      generateScopedName: (name, file) => `${componentOf(file)}-${name}`,
    },
  },
  build: {
    // The first to know light-dark(), of 2024.
    target: ["chrome123", "edge123", "firefox124", "safari17.5"],
    assetsDir: "hashed",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});

/** What a stylesheet's component is called; every folder has a page. */
function componentOf(stylesheet: string): string {
  const path = stylesheet.replace(/\?.*/, "");
  const name = basename(path, ".module.css");
  return name === "page" ? `${basename(dirname(path))}-page` : name;
}
