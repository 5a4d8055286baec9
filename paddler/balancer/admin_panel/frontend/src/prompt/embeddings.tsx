/** Embeds documents and shows how similar they are. */

import { useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { storedStore, text, useStore } from "../api/store";
import { TextField } from "../ui/field";
import { count, milliseconds } from "../ui/format";

const EXAMPLES = [
  "A cat sleeps on the warm roof.",
  "The kitten naps in the sun.",
  "Quarterly revenue grew by four percent.",
];

const documents = storedStore<string[]>("paddler.prompt.documents", EXAMPLES, (found) =>
  Array.isArray(found) && found.length > 0 ? found.map(text) : EXAMPLES,
);

const MAX_DOCUMENTS = 12;

interface Result {
  similarity: (number | null)[][];
  dimensions: number;
  tookMs: number;
  problems: string[];
}

export function Embeddings({ services }: { services: Services }) {
  const texts = useStore(documents);
  const [result, setResult] = useState<Result | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isRunning, setIsRunning] = useState(false);

  const run = async () => {
    setIsRunning(true);
    setProblem(null);
    try {
      setResult(await embed(services, texts));
    } catch (error) {
      setResult(null);
      setProblem(messageOf(error));
    } finally {
      setIsRunning(false);
    }
  };

  return (
    <form
      class="card embeddings"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <div class="documents">
        {texts.map((document, index) => (
          <div class="document" key={index}>
            <TextField
              label={`Document ${index + 1}`}
              rows={2}
              value={document}
              onInput={(typed) =>
                documents.set(texts.map((other, at) => (at === index ? typed : other)))
              }
            />
            <button
              type="button"
              class="button small quiet"
              aria-label={`Remove document ${index + 1}`}
              disabled={texts.length <= 1}
              onClick={() => documents.set(texts.filter((_text, at) => at !== index))}
            >
              Remove
            </button>
          </div>
        ))}
      </div>
      <div class="actions">
        <button
          type="button"
          class="button"
          disabled={texts.length >= MAX_DOCUMENTS}
          onClick={() => documents.set([...texts, ""])}
        >
          Add a document
        </button>
        <button type="submit" class="button primary" disabled={isRunning}>
          Embed and compare
        </button>
      </div>
      {problem !== null && (
        <p class="field-error" role="alert">
          {problem}
        </p>
      )}
      {result !== null && <SimilarityTable result={result} />}
    </form>
  );
}

function SimilarityTable({ result }: { result: Result }) {
  return (
    <>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Similarity of documents">
        <table class="similarity" data-testid="similarity">
          <caption>
            Cosine similarity · {count(result.dimensions)} dimensions ·{" "}
            {milliseconds(result.tookMs)}
          </caption>
          <thead>
            <tr>
              <td />
              {result.similarity.map((_row, index) => (
                <th key={index} scope="col">
                  {index + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {result.similarity.map((row, index) => (
              <tr key={index}>
                <th scope="row">{index + 1}</th>
                {row.map((value, at) => (
                  <td key={at} class={value === null ? "" : `heat heat-${heat(value)}`}>
                    {value === null ? "–" : value.toFixed(3)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {result.problems.map((text) => (
        <p key={text} class="field-error">
          {text}
        </p>
      ))}
    </>
  );
}

/** 0 to 5: how strongly a cell is coloured. */
function heat(similarity: number): number {
  return Math.round(Math.min(Math.max(similarity, 0), 1) * 5);
}

async function embed(services: Services, texts: readonly string[]): Promise<Result> {
  const startedMs = performance.now();
  const vectors = new Map<string, number[]>();
  const problems: string[] = [];
  const request = {
    input_batch: texts.map((content, index) => ({ id: String(index), content })),
    normalization_method: "L2" as const,
  };
  for await (const { Response } of services.embed(request, new AbortController().signal)) {
    const item = Response?.response.Embedding;
    if (typeof item === "string") {
      if (item !== "Done") problems.push(item);
    } else if (typeof item === "object" && item !== null) {
      const [kind, payload] = Object.entries(item)[0] ?? ["", null];
      if (kind === "Embedding") {
        const found = payload as { embedding: number[]; source_document_id: string };
        vectors.set(found.source_document_id, found.embedding);
      } else problems.push(`${kind}: ${JSON.stringify(payload)}`);
    }
  }
  const all = texts.map((_text, index) => vectors.get(String(index)) ?? null);
  return {
    similarity: all.map((a) => all.map((b) => (a === null || b === null ? null : cosine(a, b)))),
    dimensions: all.find((vector) => vector !== null)?.length ?? 0,
    tookMs: performance.now() - startedMs,
    problems,
  };
}

function cosine(a: readonly number[], b: readonly number[]): number {
  let product = 0;
  let lengthA = 0;
  let lengthB = 0;
  a.forEach((value, index) => {
    const other = b[index] ?? 0;
    product += value * other;
    lengthA += value * value;
    lengthB += other * other;
  });
  const length = Math.sqrt(lengthA * lengthB);
  return length === 0 ? 0 : product / length;
}
