import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { linesOf, messageOf, ServiceError, send } from "../../src/api/http";
import { answering, json, streamed } from "../support/answers";

const URL_OF_SERVICE = "http://balancer:8060/api/v1/x";

async function linesIn(body: ReadableStream<Uint8Array>): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(new Response(body))) lines.push(line);
  return lines;
}

describe("lines of a streamed body", () => {
  test("do not depend on where its pieces are cut, even within a letter", async () => {
    const texts = fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replace(/\n/g, "")));
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 7 }), async (lines, size) => {
        const content = new TextEncoder().encode(lines.join("\n"));
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < content.length; at += size) {
          pieces.push(content.slice(at, at + size));
        }
        expect(await linesIn(streamed(...pieces))).toEqual(lines.length === 0 ? [""] : lines);
      }),
    );
  });

  test("arrive as soon as they are whole", async () => {
    let sender: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        sender = controller;
      },
    });
    const lines = linesOf(new Response(body));
    sender?.enqueue(new TextEncoder().encode("one\ntw"));
    expect(await lines.next()).toEqual({ done: false, value: "one" });
  });

  test("that nobody waits for any more are not read", async () => {
    const cancel = vi.fn();
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("again\n")),
      cancel,
    });
    for await (const line of linesOf(new Response(body))) {
      expect(line).toBe("again");
      break;
    }
    expect(cancel).toHaveBeenCalledOnce();
  });

  test("of an answer without a body are none", async () => {
    const lines: string[] = [];
    for await (const line of linesOf(new Response(null))) lines.push(line);
    expect(lines).toEqual([]);
  });
});

describe("what went wrong is told", () => {
  test("by the envelope of the service", async () => {
    answering(json({ Error: { request_id: "r", error: { code: 503, description: "full" } } }, 503));
    const failure = send(URL_OF_SERVICE);
    await expect(failure).rejects.toThrow(ServiceError);
    await expect(failure).rejects.toMatchObject({ message: "full", status: 503 });
  });

  test.each([
    ["in plain text", "there is no agent 'x'\n", "there is no agent 'x'"],
    ["in another JSON", '{"detail": 1}', '{"detail": 1}'],
    ["not at all", "", "the service answered 404"],
  ])("%s", async (_how, body, message) => {
    answering(() => new Response(body, { status: 404 }));
    await expect(send(URL_OF_SERVICE)).rejects.toMatchObject({ message, status: 404 });
  });

  test("by the host that cannot be reached", async () => {
    answering(() => Promise.reject(new TypeError("Failed to fetch")));
    await expect(send(URL_OF_SERVICE)).rejects.toMatchObject({
      message: "balancer:8060 cannot be reached",
      status: 0,
      cause: new TypeError("Failed to fetch"),
    });
  });

  test("but who aborted knows it already", async () => {
    const aborted = new DOMException("aborted", "AbortError");
    answering(() => Promise.reject(aborted));
    await expect(send(URL_OF_SERVICE)).rejects.toBe(aborted);
  });
});

test("anything that was thrown has words", () => {
  expect(messageOf(new Error("bad"))).toBe("bad");
  expect(messageOf("worse")).toBe("worse");
});
