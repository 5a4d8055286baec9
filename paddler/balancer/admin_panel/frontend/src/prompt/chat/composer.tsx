import { useRef, useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { readImages } from "./attachments";
import { NOTHING_UNSENT, type Unsent } from "./chat-session";

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
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {images.length > 0 && (
        <div class="thumbs">
          {images.map((url, index) => (
            <button
              key={index}
              type="button"
              class="thumb"
              aria-label={`Remove image ${index + 1}`}
              onClick={() => setImages(images.filter((_image, at) => at !== index))}
            >
              <img src={url} alt="" />
            </button>
          ))}
        </div>
      )}
      {problem !== null && <p class="field-error">{problem}</p>}
      <textarea
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
      <div class="actions">
        <input
          ref={file}
          class="visually-hidden"
          type="file"
          accept="image/*"
          multiple
          tabIndex={-1}
          aria-hidden="true"
          onChange={(event) => {
            void attach([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <button
          type="button"
          class="button"
          disabled={!supportsImages}
          title={supportsImages ? "Attach images" : "The model that is loaded takes no images"}
          onClick={() => file.current?.click()}
        >
          Attach images
        </button>
        {isRunning ? (
          <button type="button" class="button primary send" onClick={onStop}>
            Stop
          </button>
        ) : (
          <button type="submit" class="button primary send" disabled={!canSend}>
            Send
          </button>
        )}
      </div>
    </form>
  );
}
