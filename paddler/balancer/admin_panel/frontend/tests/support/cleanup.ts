/** Takes what a test rendered off its page, where there is one. */

import { afterEach } from "vitest";

if (typeof document !== "undefined") {
  const { cleanup } = await import("@testing-library/preact");
  afterEach(cleanup);
}
