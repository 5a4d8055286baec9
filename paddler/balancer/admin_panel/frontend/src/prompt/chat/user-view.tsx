import { useState } from "preact/hooks";
import type { UserMessage } from "./conversation";

/** A message of the user, which can be edited and sent again. */
export function UserView({
  message,
  isEdited,
  canEdit,
  onEdit,
  onCancel,
  onSend,
}: {
  message: UserMessage;
  isEdited: boolean;
  canEdit: boolean;
  onEdit: () => void;
  onCancel: () => void;
  onSend: (text: string) => void;
}) {
  const [text, setText] = useState(message.text);
  return (
    <article class="message message-user" aria-label="Your message">
      {message.images.length > 0 && (
        <div class="thumbs">
          {message.images.map((url, index) => (
            <img key={index} src={url} alt={`Image ${index + 1}`} />
          ))}
        </div>
      )}
      {isEdited ? (
        <form
          class="edit"
          onSubmit={(event) => {
            event.preventDefault();
            onSend(text);
          }}
        >
          <textarea
            aria-label="Edited message"
            rows={3}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <div class="actions">
            <button type="submit" class="button small primary">
              Send again
            </button>
            <button type="button" class="button small" onClick={onCancel}>
              Cancel
            </button>
          </div>
        </form>
      ) : (
        <>
          <p class="text">{message.text}</p>
          <button
            type="button"
            class="button small quiet"
            disabled={!canEdit}
            onClick={() => {
              setText(message.text);
              onEdit();
            }}
          >
            Edit
          </button>
        </>
      )}
    </article>
  );
}
