import { describe, expect, test, vi } from "vitest";
import type { EventHandlers } from "../../src/api/events";
import { Live } from "../../src/api/live";
import type { DashboardSnapshot, HistorySnapshot } from "../../src/api/messages";
import { Services } from "../../src/api/services";
import { dashboard, sample } from "../support/messages";

function history(changes: Partial<HistorySnapshot> = {}): HistorySnapshot {
  return {
    instance: "one",
    interval_ms: 2000,
    capacity: 3,
    samples: [sample(1), sample(2)],
    ...changes,
  };
}

function started() {
  const services = new Services({ version: "0.1.0", managementUrl: "", inferenceUrl: "" });
  let handlers: EventHandlers<DashboardSnapshot> | undefined;
  vi.spyOn(services, "followDashboard").mockImplementation((given) => {
    handlers = given;
    return () => undefined;
  });
  const asked = vi.spyOn(services, "history").mockResolvedValue(history());
  const live = new Live(services);
  live.start();
  if (handlers === undefined) throw new Error("nobody follows the dashboard");
  return { live, asked, ...handlers };
}

const sequences = (live: Live) => live.history.value?.samples.map(({ sequence }) => sequence);

describe("the history", () => {
  test("is asked for once, then grows by the samples of events", async () => {
    const { live, asked, onEvent } = started();
    onEvent(dashboard({ sample: sample(2) }));
    await vi.waitFor(() => expect(sequences(live)).toEqual([1, 2]));
    onEvent(dashboard({ sample: sample(2) }));
    onEvent(dashboard({ sample: sample(3) }));
    expect(sequences(live)).toEqual([1, 2, 3]);
    expect(asked).toHaveBeenCalledOnce();
  });

  test("keeps no more than the balancer does", async () => {
    const { live, onEvent } = started();
    onEvent(dashboard());
    await vi.waitFor(() => expect(live.history.value).not.toBeNull());
    onEvent(dashboard({ sample: sample(3) }));
    onEvent(dashboard({ sample: sample(4) }));
    expect(sequences(live)).toEqual([2, 3, 4]);
  });

  test("is asked for again where samples are missing", async () => {
    const { live, asked, onEvent } = started();
    onEvent(dashboard());
    await vi.waitFor(() => expect(live.history.value).not.toBeNull());
    asked.mockResolvedValue(history({ samples: [sample(7), sample(8)] }));
    onEvent(dashboard({ sample: sample(8) }));
    await vi.waitFor(() => expect(sequences(live)).toEqual([7, 8]));
  });

  test("that could not be had is asked for with the next event", async () => {
    const { live, asked, onEvent } = started();
    asked.mockRejectedValueOnce(new Error("away"));
    onEvent(dashboard());
    await vi.waitFor(() => expect(asked).toHaveBeenCalledOnce());
    await Promise.resolve();
    onEvent(dashboard());
    await vi.waitFor(() => expect(sequences(live)).toEqual([1, 2]));
  });
});

describe("notices", () => {
  test("tell of another run of the balancer", () => {
    const { live, onEvent, onDown, onUp } = started();
    onEvent(dashboard());
    expect(live.notice.value).toBeNull();
    onDown();
    expect(live.connection.value).toBe("down");
    onUp();
    onEvent(dashboard({ instance: "two" }));
    expect(live.notice.value).toBe("The balancer was restarted; connected again.");
  });

  test("tell of the same run that was away, once", () => {
    const { live, onEvent, onDown } = started();
    onEvent(dashboard());
    onDown();
    onEvent(dashboard());
    expect(live.notice.value).toBe("Connected to the balancer again.");
    live.notice.set(null);
    onEvent(dashboard());
    expect(live.notice.value).toBeNull();
  });

  test("say nothing of the first connection", () => {
    const { live, onDown, onEvent } = started();
    onDown();
    onEvent(dashboard());
    expect(live.notice.value).toBeNull();
  });
});

test("a balancer of another version makes this page an old one", () => {
  const { live, onEvent } = started();
  onEvent(dashboard());
  expect(live.isOutdated.value).toBe(false);
  onEvent(dashboard({ version: "0.2.0" }));
  expect(live.isOutdated.value).toBe(true);
});
