/** How similar documents are, by the angle between their embeddings. */

import type { GenerateEmbeddingBatch } from "../../api/messages";
import { fieldOf } from "../../api/one-of";
import type { Services } from "../../api/services";

export interface Similarity {
  /** [n_documents, n_documents] cosines; null where a document has no embedding. */
  cosines: (number | null)[][];
  dimensions: number;
  tookMs: number;
  problems: string[];
}

/** Has `documents` embedded and compares each with each. */
export async function compare(
  services: Services,
  documents: readonly string[],
): Promise<Similarity> {
  const startedMs = performance.now();
  const vectors = new Map<string, number[]>();
  const problems: string[] = [];
  const request: GenerateEmbeddingBatch = {
    input_batch: documents.map((content, index) => ({ id: String(index), content })),
    normalization_method: "L2",
  };
  for await (const { response } of services.embed(request, new AbortController().signal)) {
    if (!("Embedding" in response) || response.Embedding === "Done") continue;
    const [kind, content] = fieldOf(response.Embedding);
    if (kind === "Embedding") vectors.set(content.source_document_id, content.embedding);
    else problems.push(`${kind}: ${JSON.stringify(content)}`);
  }
  const all = documents.map((_document, index) => vectors.get(String(index)) ?? null);
  return {
    cosines: all.map((a) => all.map((b) => (a === null || b === null ? null : cosine(a, b)))),
    dimensions: all.find((vector) => vector !== null)?.length ?? 0,
    tookMs: performance.now() - startedMs,
    problems,
  };
}

/** 0 where one of them has no length. */
export function cosine(a: readonly number[], b: readonly number[]): number {
  let product = 0;
  let squaresOfA = 0;
  let squaresOfB = 0;
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    product += value * other;
    squaresOfA += value * value;
    squaresOfB += other * other;
  }
  const length = Math.sqrt(squaresOfA * squaresOfB);
  return length === 0 ? 0 : product / length;
}
