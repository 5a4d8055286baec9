import { expect, test } from "vitest";
import type { GenerateEmbeddingBatch, InferenceResponse } from "../../src/api/messages";
import { Services } from "../../src/api/services";
import { answering, json, streamed } from "../support/answers";
import { desiredState } from "../support/messages";

const services = new Services({
  version: "0.1.0",
  managementUrl: "http://box:8060",
  inferenceUrl: "http://box:8061",
});
const BATCH: GenerateEmbeddingBatch = { input_batch: [], normalization_method: "L2" };

const response = (text: string) => ({
  generated_by: "alpha",
  request_id: "r",
  response: { GeneratedToken: { ContentToken: text } },
});

async function embedded(): Promise<InferenceResponse[]> {
  const found: InferenceResponse[] = [];
  for await (const one of services.embed(BATCH, new AbortController().signal)) found.push(one);
  return found;
}

test("a stream's items come one by one, whatever lines are empty", async () => {
  const lines = [response("a"), response("b")].map((one) => JSON.stringify({ Response: one }));
  const fetching = answering(() => new Response(streamed(`\n${lines.join("\n\n")}\n`)));
  expect(await embedded()).toEqual([response("a"), response("b")]);
  expect(fetching.mock.calls[0]?.[0]).toBe("http://box:8061/api/v1/generate_embedding_batch");
  expect(JSON.parse(String(fetching.mock.calls[0]?.[1]?.body))).toEqual(BATCH);
});

test("a request that fails on its way is thrown with its status", async () => {
  const lines = [
    JSON.stringify({ Response: response("a") }),
    JSON.stringify({ Error: { request_id: "r", error: { code: 502, description: "lost" } } }),
  ];
  answering(() => new Response(streamed(lines.join("\n"))));
  await expect(embedded()).rejects.toMatchObject({ message: "lost", status: 502 });
});

test("an agent's id is one part of the address, whatever is in it", async () => {
  const fetching = answering(json(null));
  await services.agentModel("a/../b?c");
  expect(fetching.mock.calls[0]?.[0]).toBe("http://box:8060/api/v1/agent/a%2F..%2Fb%3Fc/model");
});

test("a state is put as JSON", async () => {
  const fetching = answering(() => new Response(null, { status: 204 }));
  await services.putDesiredState(desiredState());
  const [url, init] = fetching.mock.calls[0] ?? [];
  expect(url).toBe("http://box:8060/api/v1/balancer_desired_state");
  expect(init).toMatchObject({ method: "PUT", headers: { "Content-Type": "application/json" } });
  expect(JSON.parse(String(init?.body))).toEqual(desiredState());
});
