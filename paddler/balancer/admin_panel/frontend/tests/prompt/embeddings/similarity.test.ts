import { expect, test, vi } from "vitest";
import type { InferenceResponse, InferenceResult } from "../../../src/api/messages";
import { Services } from "../../../src/api/services";
import { compare, cosine } from "../../../src/prompt/embeddings/similarity";

function answering(...results: InferenceResult[]): Services {
  const services = new Services({ version: "", managementUrl: "", inferenceUrl: "" });
  vi.spyOn(services, "embed").mockImplementation(async function* () {
    for (const response of results) {
      yield await Promise.resolve<InferenceResponse>({
        generated_by: "alpha",
        request_id: "r",
        response,
      });
    }
  });
  return services;
}

const embedded = (source_document_id: string, embedding: number[]): InferenceResult => ({
  Embedding: {
    Embedding: {
      embedding,
      normalization_method: "L2",
      pooling_type: "Last",
      source_document_id,
    },
  },
});

test("documents are compared each with each, in whatever order they come", async () => {
  const services = answering(embedded("1", [0, 1]), embedded("0", [1, 0]), embedded("2", [1, 1]), {
    Embedding: "Done",
  });
  const { cosines, dimensions, problems } = await compare(services, ["a", "b", "c"]);
  const half = Math.SQRT1_2;
  const expected = [
    [1, 0, half],
    [0, 1, half],
    [half, half, 1],
  ];
  for (const [index, row] of expected.entries()) {
    for (const [at, value] of row.entries()) expect(cosines[index]?.[at]).toBeCloseTo(value);
  }
  expect({ dimensions, problems }).toEqual({ dimensions: 2, problems: [] });
});

test("a document without an embedding leaves its cells empty, and is told", async () => {
  const services = answering(
    embedded("0", [3, 4]),
    {
      Embedding: {
        DocumentExceedsBatchSize: {
          document_tokens: 9,
          n_batch: 4,
          source_document_id: "1",
        },
      },
    },
    { Embedding: { Error: "broken" } },
    { Embedding: "Done" },
  );
  const { cosines, problems } = await compare(services, ["a", "b"]);
  expect(cosines).toEqual([
    [1, null],
    [null, null],
  ]);
  expect(problems).toEqual([
    'DocumentExceedsBatchSize: {"document_tokens":9,"n_batch":4,"source_document_id":"1"}',
    'Error: "broken"',
  ]);
});

test("the cosine knows directions, and nothing of lengths", () => {
  expect(cosine([1, 2], [10, 20])).toBeCloseTo(1);
  expect(cosine([1, 2], [-1, -2])).toBeCloseTo(-1);
  expect(cosine([0, 0], [1, 2])).toBe(0);
});
