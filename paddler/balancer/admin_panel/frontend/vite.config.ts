import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the panel also works below a path of a reverse proxy.
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    assetsDir: "hashed",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
