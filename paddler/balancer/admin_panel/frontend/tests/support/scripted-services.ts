/** Services whose generations a test writes item by item. */

import { vi } from "vitest";
import type { GeneratedItem, InferenceResponse } from "../../src/api/messages";
import { type GenerationRequest, Services } from "../../src/api/services";

interface Script {
  request: GenerationRequest;
  signal: AbortSignal;
  /** Sends an item, as the agent named `alpha`. */
  write: (item: GeneratedItem) => void;
  end: () => void;
  fail: (error: Error) => void;
}

/** `scripts` has one entry for every generation that was asked for. */
export function scriptedServices(): { services: Services; scripts: Script[] } {
  const services = new Services({
    version: "0.1.0",
    managementUrl: "http://box:8060",
    inferenceUrl: "http://box:8061",
  });
  const scripts: Script[] = [];
  vi.spyOn(services, "generate").mockImplementation((request, signal) => {
    const { readable, writable } = new TransformStream<InferenceResponse, InferenceResponse>();
    const writer = writable.getWriter();
    const ignore = () => undefined;
    const fail = (error: unknown) => void writer.abort(error).catch(ignore);
    signal.addEventListener("abort", () => fail(signal.reason));
    scripts.push({
      request,
      signal,
      fail,
      write: (item) =>
        void writer
          .write({ generated_by: "alpha", request_id: "r", response: { GeneratedToken: item } })
          .catch(ignore),
      end: () => void writer.close().catch(ignore),
    });
    return readFrom(readable);
  });
  return { services, scripts };
}

async function* readFrom<T>(stream: ReadableStream<T>): AsyncGenerator<T> {
  const reader = stream.getReader();
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
