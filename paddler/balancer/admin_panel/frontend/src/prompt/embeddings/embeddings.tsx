/** Embeds documents and shows how similar they are. */

import { useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import { type BrowserStorage, text } from "../../store/browser-storage";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { Actions } from "../../ui/actions";
import { Button } from "../../ui/button";
import { Card } from "../../ui/card";
import { TextField } from "../../ui/field";
import { Problem } from "../../ui/text";
import * as styles from "./embeddings.module.css";
import { compare, type Similarity } from "./similarity";
import { SimilarityTable } from "./similarity-table";

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
    <Card
      tag="form"
      stacked
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <div class={styles.documents}>
        {texts.map((document, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a document is known by its number
          <div class={styles.document} key={index}>
            <TextField
              label={`Document ${index + 1}`}
              rows={2}
              value={document}
              onInput={(typed) =>
                documents.set(texts.map((other, at) => (at === index ? typed : other)))
              }
            />
            <Button
              look="quiet"
              small
              aria-label={`Remove document ${index + 1}`}
              disabled={texts.length <= 1}
              onClick={() => documents.set(texts.filter((_text, at) => at !== index))}
            >
              Remove
            </Button>
          </div>
        ))}
      </div>
      <Actions>
        <Button
          disabled={texts.length >= MAX_DOCUMENTS}
          onClick={() => documents.set([...texts, ""])}
        >
          Add a document
        </Button>
        <Button type="submit" look="primary" disabled={isRunning}>
          Embed and compare
        </Button>
      </Actions>
      {problem !== null && <Problem role="alert">{problem}</Problem>}
      {result !== null && <SimilarityTable similarity={result} />}
    </Card>
  );
}
