/** A conversation: its list of messages, the running answer, the composer. */

import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { storageFailed, useStore } from "../api/store";
import { AnswerView, SnippetButtons } from "./answer-view";
import { Composer } from "./composer";
import { ConversationList } from "./conversation-list";
import {
  askedWith,
  chosenConversation,
  historyOf,
  keep,
  kept,
  newId,
  requestOf,
  type AssistantMessage,
  type Message,
  type UserMessage,
} from "./conversations";
import { EMPTY_ANSWER, generate } from "./generation";
import { asCurl, asPython } from "./snippets";
import { settings } from "./settings";

const PATH = "continue_from_conversation_history";

interface Running {
  conversationId: string;
  before: Message[];
  message: AssistantMessage;
  stop: AbortController;
}

export function Chat({ services, supportsImages }: { services: Services; supportsImages: boolean }) {
  const state = useStore(kept);
  const conversation = chosenConversation(state);
  const isUnkept = useStore(storageFailed);
  const [running, setRunning] = useState<Running | null>(null);
  const [editedId, setEditedId] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const end = useRef<HTMLDivElement>(null);
  const stop = useRef<AbortController | null>(null);

  useEffect(() => () => stop.current?.abort(), []);

  const isShown = running !== null && running.conversationId === conversation?.id;
  const messages = isShown ? [...running.before, running.message] : (conversation?.messages ?? []);
  useFollow(end, running?.message.answer.text.length ?? messages.length);

  const ask = async (before: Message[]) => {
    const id = conversation?.id ?? newId();
    const chosen = settings.value;
    let message: AssistantMessage;
    try {
      message = {
        role: "assistant",
        id: newId(),
        answer: EMPTY_ANSWER,
        asked: askedWith(chosen, id),
        systemPrompt: chosen.systemPrompt,
      };
    } catch (error) {
      setProblem(messageOf(error));
      return false;
    }
    setProblem(null);
    setEditedId(null);
    keep(id, before);
    const controller = new AbortController();
    stop.current = controller;
    const show = (answer: AssistantMessage["answer"]) =>
      setRunning({
        conversationId: id,
        before,
        message: { ...message, answer },
        stop: controller,
      });
    show(EMPTY_ANSWER);
    const body = {
      conversation_history: historyOf(before, message.systemPrompt),
      ...message.asked,
    };
    void generate(services, { path: PATH, body }, controller.signal, show).then((answer) => {
      const ended = { ...message, answer };
      if (kept.value.conversations.some((one) => one.id === id)) keep(id, [...before, ended]);
      setRunning(null);
    });
    return true;
  };

  const edit = (message: UserMessage, text: string) => {
    const at = messages.indexOf(message);
    void ask([...messages.slice(0, at), { ...message, id: newId(), text }]);
  };

  return (
    <section class="chat" aria-label="Conversation">
      <ConversationList isBusy={running !== null} />
      <div class="messages" data-testid="messages">
        {messages.length === 0 && (
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
                  <div class="actions">
                    <button
                      type="button"
                      class="button small"
                      disabled={running !== null}
                      onClick={() => void ask(messages.slice(0, messages.indexOf(message)))}
                    >
                      Regenerate
                    </button>
                    <SnippetButtons
                      curl={asCurl(services.inference(PATH), requestOf(messages, message))}
                      python={asPython(services.inference(PATH), requestOf(messages, message))}
                    />
                  </div>
                }
              />
            </article>
          ),
        )}
        <div ref={end} />
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
        onSend={(text, images) =>
          ask([...messages, { role: "user", id: newId(), text, images }])
        }
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

/** Keeps the end in view while the reader is there already. */
function useFollow(end: { current: HTMLElement | null }, progress: number): void {
  useEffect(() => {
    const list = end.current?.parentElement;
    if (!list) return;
    const distance = list.scrollHeight - list.scrollTop - list.clientHeight;
    if (distance < 160) list.scrollTop = list.scrollHeight;
  }, [progress, end]);
}
