/** Server-sent events that come back by themselves after the balancer was away. */

import { linesOf, send } from "./http";

export interface EventHandlers<T> {
  onEvent: (event: T) => void;
  onUp: () => void;
  onDown: () => void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5000;
/** The service writes at least a comment every 10 s. */
const SILENCE_MS = 25_000;

/** Follows a stream until the returned function is called. */
export function followEvents<T>(url: string, handlers: EventHandlers<T>): () => void {
  const stopped = new AbortController();
  void (async () => {
    let retryMs = FIRST_RETRY_MS;
    while (!stopped.signal.aborted) {
      try {
        await readStream<T>(url, stopped.signal, handlers, () => (retryMs = FIRST_RETRY_MS));
      } catch {
        // Whatever ended the stream, the answer is the same: try again.
      }
      if (stopped.signal.aborted) return;
      handlers.onDown();
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      retryMs = Math.min(retryMs * 1.6, LONGEST_RETRY_MS);
    }
  })();
  return () => stopped.abort();
}

async function readStream<T>(
  url: string,
  stopped: AbortSignal,
  handlers: EventHandlers<T>,
  onOpen: () => void,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const signal = AbortSignal.any([stopped, silence.signal]);
    const answer = await send(url, { headers: { Accept: "text/event-stream" }, signal });
    onOpen();
    handlers.onUp();
    for await (const line of linesOf(answer)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      if (line.startsWith("data:")) handlers.onEvent(JSON.parse(line.slice(5)) as T);
    }
  } finally {
    clearTimeout(timer);
  }
}
