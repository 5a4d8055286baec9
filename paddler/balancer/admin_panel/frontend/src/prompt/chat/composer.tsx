import { useRef, useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { Actions } from "../../ui/actions";
import { Button } from "../../ui/button";
import { TextArea } from "../../ui/control";
import { Problem } from "../../ui/text";
import { readImages } from "./attachments";
import { NOTHING_UNSENT, type Unsent } from "./chat-session";
import * as styles from "./composer.module.css";
import { Thumbnails } from "./thumbnails";

export function Composer({
  unsent,
  isRunning,
  supportsImages,
  onSend,
  onStop,
}: {
  unsent: Store<Unsent>;
  isRunning: boolean;
  supportsImages: boolean;
  /** Whether the message was taken. */
  onSend: (text: string, images: string[]) => boolean;
  onStop: () => void;
}) {
  const { text, images } = useStore(unsent);
  const setText = (changed: string) => unsent.update((now) => ({ ...now, text: changed }));
  const setImages = (changed: string[]) => unsent.update((now) => ({ ...now, images: changed }));
  const [problem, setProblem] = useState<string | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const canSend = !isRunning && (text.trim() !== "" || images.length > 0);

  const send = () => {
    if (canSend && onSend(text, images)) unsent.set(NOTHING_UNSENT);
  };

  const attach = async (files: readonly File[]) => {
    try {
      const added = await readImages(files);
      setImages([...unsent.value.images, ...added]);
      setProblem(null);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };

  return (
    <form
      class={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Thumbnails
        images={images}
        onRemove={(index) => setImages(images.filter((_image, at) => at !== index))}
      />
      {problem !== null && <Problem>{problem}</Problem>}
      <TextArea
        aria-label="Message"
        placeholder="Write a message; Enter sends, Shift+Enter starts a new line"
        rows={2}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={(event) => {
          const files = [...(event.clipboardData?.files ?? [])];
          if (files.length === 0 || !supportsImages) return;
          event.preventDefault();
          void attach(files);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <Actions>
        <input
          ref={file}
          hidden
          type="file"
          accept="image/*"
          multiple
          onChange={(event) => {
            void attach([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <Button
          disabled={!supportsImages}
          title={supportsImages ? "Attach images" : "The model that is loaded takes no images"}
          onClick={() => file.current?.click()}
        >
          Attach images
        </Button>
        {isRunning ? (
          <Button look="primary" class={styles.send} onClick={onStop}>
            Stop
          </Button>
        ) : (
          <Button type="submit" look="primary" class={styles.send} disabled={!canSend}>
            Send
          </Button>
        )}
      </Actions>
    </form>
  );
}
