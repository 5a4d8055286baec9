import { useRef, useState } from "preact/hooks";

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

export function Composer({
  isRunning,
  supportsImages,
  onSend,
  onStop,
}: {
  isRunning: boolean;
  supportsImages: boolean;
  /** Resolves to whether the message was taken. */
  onSend: (text: string, images: string[]) => Promise<boolean>;
  onStop: () => void;
}) {
  const [text, setText] = useState("");
  const [images, setImages] = useState<string[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const canSend = !isRunning && (text.trim() !== "" || images.length > 0);

  const send = async () => {
    if (!canSend || !(await onSend(text, images))) return;
    setText("");
    setImages([]);
  };

  const attach = async (files: FileList | null) => {
    const added: string[] = [];
    for (const one of files ?? []) {
      if (one.size > MAX_IMAGE_BYTES) {
        setProblem(`${one.name} is larger than 20 MB.`);
        return;
      }
      added.push(await dataUri(one));
    }
    setProblem(null);
    setImages((present) => [...present, ...added]);
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
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
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            void send();
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
            void attach(event.currentTarget.files);
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

function dataUri(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("the file cannot be read"));
    reader.readAsDataURL(file);
  });
}
