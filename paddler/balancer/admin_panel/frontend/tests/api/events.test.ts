import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { followEvents } from "../../src/api/events";
import { answering, streamed } from "../support/answers";

const URL_OF_STREAM = "http://balancer:8060/stream";
const stops: (() => void)[] = [];

function follow() {
  const handlers = { onEvent: vi.fn(), onUp: vi.fn(), onDown: vi.fn() };
  const stop = followEvents<unknown>(URL_OF_STREAM, handlers);
  stops.push(stop);
  return { ...handlers, stop };
}

/** A stream that stays open; it ends when whoever asked for it aborts. */
function open(...pieces: string[]) {
  return () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        },
      }),
    );
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  vi.useRealTimers();
});

test("events are told as they come, comments are not", async () => {
  answering(open(': hello\n\ndata: {"n": 1}\n\n', 'data: {"n": 2}\n\n'));
  const { onEvent, onUp, onDown } = follow();
  await vi.advanceTimersByTimeAsync(0);
  expect(onEvent.mock.calls).toEqual([[{ n: 1 }], [{ n: 2 }]]);
  expect(onUp).toHaveBeenCalledOnce();
  expect(onDown).not.toHaveBeenCalled();
});

test("a stream that ended is asked for again, later each time it cannot be had", async () => {
  const fetching = answering(
    () => new Response(streamed("data: 1\n\n")),
    () => Promise.reject(new TypeError("gone")),
    () => Promise.reject(new TypeError("gone")),
    open("data: 2\n\n"),
  );
  const { onEvent, onUp, onDown } = follow();
  await vi.advanceTimersByTimeAsync(0);
  expect(onDown).toHaveBeenCalledTimes(1);

  await vi.advanceTimersByTimeAsync(500);
  expect(fetching).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(799);
  expect(fetching).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(fetching).toHaveBeenCalledTimes(3);

  await vi.advanceTimersByTimeAsync(1280);
  expect(onUp).toHaveBeenCalledTimes(2);
  expect(onEvent.mock.calls).toEqual([[1], [2]]);
});

test("an event that is no JSON is like a stream that broke off", async () => {
  answering(open("data: {\n\n"), open("data: 3\n\n"));
  const { onEvent, onDown } = follow();
  await vi.advanceTimersByTimeAsync(500);
  expect(onDown).toHaveBeenCalledOnce();
  expect(onEvent.mock.calls).toEqual([[3]]);
});

test("a silent stream is given up, as the service says something every ten seconds", async () => {
  const fetching = answering(open("data: 1\n\n"));
  const { onDown } = follow();
  await vi.advanceTimersByTimeAsync(24_999);
  expect(onDown).not.toHaveBeenCalled();
  expect(fetching.mock.calls[0]?.[1]?.signal?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(fetching.mock.calls[0]?.[1]?.signal?.aborted).toBe(true);
});

test("nothing is asked for after the end", async () => {
  const fetching = answering(() => Promise.reject(new TypeError("gone")));
  const { onDown, stop } = follow();
  await vi.advanceTimersByTimeAsync(0);
  expect(onDown).toHaveBeenCalledOnce();
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(fetching).toHaveBeenCalledOnce();
  expect(onDown).toHaveBeenCalledOnce();
});
