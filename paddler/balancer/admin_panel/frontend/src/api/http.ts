/** Requests to the services, with errors that can be shown to a person. */

import type { RequestError } from "./messages";

export class ServiceError extends Error {
  /** The answer's status; 0 where there was no answer. */
  readonly status: number;

  constructor(message: string, { status, ...options }: ErrorOptions & { status: number }) {
    super(message, options);
    this.status = status;
  }
}

/** Sends a request; an answer that is no success becomes a ServiceError. */
export async function send(url: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServiceError(`${new URL(url).host} cannot be reached`, { status: 0, cause: error });
  }
  if (!answer.ok) throw new ServiceError(await describe(answer), { status: answer.status });
  return answer;
}

export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  return (await (await send(url, signal ? { signal } : {})).json()) as T;
}

export function jsonBody(method: string, content: unknown, signal?: AbortSignal): RequestInit {
  return {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
    ...(signal ? { signal } : {}),
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Yields the lines of a streamed body, without their ends. */
export async function* linesOf(answer: Response): AsyncGenerator<string> {
  if (answer.body === null) return;
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const lines = rest.split("\n");
      rest = done ? "" : (lines.pop() ?? "");
      yield* lines;
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function describe(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    const body = JSON.parse(text) as Partial<{ Error: RequestError }>;
    if (body.Error) return body.Error.error.description;
  } catch {
    // Not JSON: the text itself is the message.
  }
  return text.trim() || `the service answered ${answer.status}`;
}
