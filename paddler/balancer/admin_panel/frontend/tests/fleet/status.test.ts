import { describe, expect, test } from "vitest";
import type { AgentView } from "../../src/api/messages";
import { byName } from "../../src/fleet/order";
import { statusOf } from "../../src/fleet/status";
import { agent } from "../support/messages";

const download = { filename: "m.gguf", current_bytes: 1, total_bytes: 2, indeterminate: false };

describe("an agent's condition", () => {
  test.each<[string, string, Partial<AgentView>]>([
    ["ready", "good", {}],
    ["no model", "idle", { model: null }],
    ["kept back", "bad", { stage: "kept_back" }],
    ["swapping", "busy", { stage: "applying" }],
    ["loading", "busy", { model: null, download }],
    ["swapping", "busy", { download, status: "Stuck" }],
    ["retrying", "bad", { status: "AttemptedAndRetrying" }],
    ["stuck", "bad", { status: "Stuck" }],
    ["cannot apply", "bad", { status: "AttemptedAndNotAppliable" }],
    ["starting", "busy", { status: "Fresh", stage: "applying" }],
    ["waiting", "busy", { status: "Fresh", stage: "waiting" }],
  ])("is %s (%s): %j", (text, tone, changes) => {
    expect(statusOf(agent(changes))).toEqual({ text, tone });
  });
});

test("agents stand by name, those without one first, and by id where names are the same", () => {
  const agents = [
    agent({ id: "3", name: "beta" }),
    agent({ id: "2", name: "alpha" }),
    agent({ id: "1", name: "alpha" }),
    agent({ id: "4", name: null }),
  ];
  expect(byName(agents).map(({ id }) => id)).toEqual(["4", "1", "2", "3"]);
  expect(agents[0]?.id).toBe("3");
});
