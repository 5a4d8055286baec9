/** A conversation: its list of messages, the running answer, the composer. */

import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { storageFailed, useStore } from "../api/store";
import { AnswerView, SnippetButtons } from "./answer-view";
import { ask, CHAT_PATH, running as runningAnswer } from "./chat-session";
import { Composer } from "./composer";
import { ConversationList } from "./conversation-list";
import {
  chosenId,
  conversations,
  type Message,
  newId,
  requestOf,
  type UserMessage,
} from "./conversations";

export function Chat({
  services,
  supportsImages,
}: {
  services: Services;
  supportsImages: boolean;
}) {
  const all = useStore(conversations);
  const id = useStore(chosenId);
  const running = useStore(runningAnswer);
  const isUnkept = useStore(storageFailed);
  const [editedId, setEditedId] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const list = useRef<HTMLDivElement>(null);

  const conversation = all?.find((one) => one.id === id) ?? null;
  const isShown = running !== null && running.conversationId === id;
  const messages = isShown ? [...running.before, running.message] : (conversation?.messages ?? []);
  useFollow(list, id, messages);

  /** Whether it was sent. */
  const send = (before: Message[]): boolean => {
    try {
      ask(services, conversation === null ? null : conversation.id, before);
    } catch (error) {
      setProblem(messageOf(error));
      return false;
    }
    setProblem(null);
    setEditedId(null);
    return true;
  };

  const edit = (message: UserMessage, text: string) => {
    const at = messages.indexOf(message);
    send([...messages.slice(0, at), { ...message, id: newId(), text }]);
  };

  return (
    <section class="chat" aria-label="Conversation">
      <ConversationList isBusy={running !== null} />
      <div
        class="messages"
        data-testid="messages"
        ref={list}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Messages"
      >
        {messages.length === 0 && all !== null && (
          <p class="muted empty-chat">
            Write a message below. Conversations stay in this browser; nothing is stored on the
            balancer.
          </p>
        )}
        {messages.map((message) =>
          message.role === "user" ? (
            <UserView
              key={message.id}
              message={message}
              isEdited={editedId === message.id}
              canEdit={running === null}
              onEdit={() => setEditedId(message.id)}
              onCancel={() => setEditedId(null)}
              onSend={(text) => edit(message, text)}
            />
          ) : (
            <article key={message.id} class="message message-assistant" aria-label="Answer">
              <AnswerView
                answer={message.answer}
                actions={
                  <>
                    {message === messages.at(-1) && (
                      <button
                        type="button"
                        class="button small"
                        disabled={running !== null}
                        onClick={() => send(messages.slice(0, -1))}
                      >
                        Regenerate
                      </button>
                    )}
                    <SnippetButtons
                      url={services.inference(CHAT_PATH)}
                      request={() => requestOf(messages, message)}
                    />
                  </>
                }
              />
            </article>
          ),
        )}
      </div>
      <p class="visually-hidden" role="status">
        {running === null ? "" : "The answer is being written."}
      </p>
      {isUnkept && (
        <p class="field-error" role="status">
          This browser's storage is full or off: the conversation will not survive a reload.
        </p>
      )}
      {problem !== null && (
        <p class="field-error" role="alert">
          {problem}
        </p>
      )}
      <Composer
        isRunning={running !== null}
        supportsImages={supportsImages}
        onStop={() => running?.stop.abort()}
        onSend={(text, images) => send([...messages, { role: "user", id: newId(), text, images }])}
      />
    </section>
  );
}

function UserView({
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

const NEAR_PX = 160;

/** Keeps the end in view while the reader is there already; a conversation opens at its end. */
function useFollow(
  list: { current: HTMLElement | null },
  id: string | null,
  messages: readonly Message[],
): void {
  const wasNear = useRef(true);
  const shownId = useRef(id);
  const element = list.current;
  if (element !== null) {
    // Looked at before the new text is there: a long piece must not be taken for scrolling.
    const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
    wasNear.current = distance < NEAR_PX || shownId.current !== id;
  }
  shownId.current = id;
  useEffect(() => {
    if (wasNear.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [messages, id, list]);
}
