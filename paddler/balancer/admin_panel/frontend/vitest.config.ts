import { defineConfig, mergeConfig } from "vitest/config";
import vite from "./vite.config.ts";

export default mergeConfig(
  vite,
  defineConfig({
    test: {
      include: ["tests/**/*.test.{ts,tsx}"],
      setupFiles: ["tests/support/cleanup.ts"],
      // No module keeps anything of its own, so test files share what they import.
      isolate: false,
      restoreMocks: true,
      unstubGlobals: true,
    },
  }),
);
