import { defineConfig, mergeConfig } from "vitest/config";
import vite from "./vite.config.ts";

export default mergeConfig(
  vite,
  defineConfig({
    test: {
      include: ["tests/**/*.test.{ts,tsx}"],
      setupFiles: ["tests/support/cleanup.ts"],
      restoreMocks: true,
      unstubGlobals: true,
    },
  }),
);
