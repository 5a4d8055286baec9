import { useState } from "preact/hooks";
import { Actions } from "../../ui/actions";
import { Button } from "../../ui/button";
import { TextArea } from "../../ui/control";
import { AsWritten } from "../../ui/text";
import type { UserMessage } from "./conversation";
import { Thumbnails } from "./thumbnails";
import * as styles from "./user-view.module.css";

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
    <article class={styles.message} aria-label="Your message">
      <Thumbnails images={message.images} />
      {isEdited ? (
        <form
          class={styles.edit}
          onSubmit={(event) => {
            event.preventDefault();
            onSend(text);
          }}
        >
          <TextArea
            aria-label="Edited message"
            rows={3}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <Actions>
            <Button type="submit" look="primary" small>
              Send again
            </Button>
            <Button small onClick={onCancel}>
              Cancel
            </Button>
          </Actions>
        </form>
      ) : (
        <>
          <AsWritten class={styles.text}>{message.text}</AsWritten>
          <Button
            look="quiet"
            small
            disabled={!canEdit}
            onClick={() => {
              setText(message.text);
              onEdit();
            }}
          >
            Edit
          </Button>
        </>
      )}
    </article>
  );
}
