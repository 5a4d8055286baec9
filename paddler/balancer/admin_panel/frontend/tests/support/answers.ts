/** What `fetch` finds: answers in the order they are asked for, whole or in pieces. */

import { vi } from "vitest";

/** Stands in for the network; every call takes the next answer, the last again and again. */
export function answering(...answers: readonly (() => Response | Promise<Response>)[]) {
  let next = 0;
  const fetching = vi.fn((_url: string | URL | Request, _init?: RequestInit) => {
    const answer = answers[Math.min(next, answers.length - 1)];
    next += 1;
    if (answer === undefined) throw new TypeError("there is no network");
    return Promise.resolve().then(answer);
  });
  vi.stubGlobal("fetch", fetching);
  return fetching;
}

export const json =
  (content: unknown, status = 200) =>
  () =>
    Response.json(content, { status });

/** A body that arrives in these pieces. */
export function streamed(...pieces: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) {
        controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      }
      controller.close();
    },
  });
}
