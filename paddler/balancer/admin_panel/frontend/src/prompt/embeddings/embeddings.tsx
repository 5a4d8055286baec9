/** Embeds documents and shows how similar they are. */

import { useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import { type BrowserStorage, text } from "../../store/browser-storage";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { TextField } from "../../ui/field";
import { count, milliseconds } from "../../ui/format";
import { compare, type Similarity } from "./similarity";

const EXAMPLES = [
  "A cat sleeps on the warm roof.",
  "The kitten naps in the sun.",
  "Quarterly revenue grew by four percent.",
];

/** The documents as typed. */
export function openDocuments(storage: BrowserStorage): Store<string[]> {
  return storage.shared("paddler.prompt.documents", EXAMPLES, (kept) =>
    Array.isArray(kept) && kept.length > 0 ? kept.map(text) : EXAMPLES,
  );
}

const MAX_DOCUMENTS = 12;

export function Embeddings({
  services,
  documents,
}: {
  services: Services;
  documents: Store<string[]>;
}) {
  const texts = useStore(documents);
  const [result, setResult] = useState<Similarity | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isRunning, setIsRunning] = useState(false);

  const run = async () => {
    setIsRunning(true);
    setProblem(null);
    try {
      setResult(await compare(services, texts));
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

function SimilarityTable({ result }: { result: Similarity }) {
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
              {result.cosines.map((_row, index) => (
                <th key={index} scope="col">
                  {index + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {result.cosines.map((row, index) => (
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
      {result.problems.map((problem) => (
        <p key={problem} class="field-error">
          {problem}
        </p>
      ))}
    </>
  );
}

/** 0 to 5: how strongly a cell is coloured. */
function heat(cosine: number): number {
  return Math.round(Math.min(Math.max(cosine, 0), 1) * 5);
}
