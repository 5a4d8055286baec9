import * as styles from "./thumbnails.module.css";

/** Attached images, small; with `onRemove` each can be taken off again. */
export function Thumbnails({
  images,
  onRemove,
}: {
  /** Data URIs. */
  images: readonly string[];
  onRemove?: (index: number) => void;
}) {
  if (images.length === 0) return null;
  return (
    <div class={styles.thumbnails}>
      {images.map((url, index) =>
        onRemove === undefined ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the same image may be there twice
          <img key={index} src={url} alt={`Attachment ${index + 1}`} />
        ) : (
          <button
            // biome-ignore lint/suspicious/noArrayIndexKey: the same image may be there twice
            key={index}
            type="button"
            aria-label={`Remove image ${index + 1}`}
            onClick={() => onRemove(index)}
          >
            <img src={url} alt="" />
          </button>
        ),
      )}
    </div>
  );
}
