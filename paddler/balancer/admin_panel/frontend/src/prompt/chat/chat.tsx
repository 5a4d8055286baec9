/** A conversation: its list of messages, the running answer, the composer. */

import { useRef, useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { AnswerView, SnippetButtons } from "../answer/answer-view";
import { CHAT_PATH, type ChatSession } from "./chat-session";
import { Composer } from "./composer";
import { type Message, newId, requestOf, type UserMessage } from "./conversation";
import { ConversationList } from "./conversation-list";
import { useFollow } from "./use-follow";
import { UserView } from "./user-view";

export function Chat({
  services,
  session,
  storageFailed,
  supportsImages,
}: {
  services: Services;
  session: ChatSession;
  storageFailed: Store<boolean>;
  supportsImages: boolean;
}) {
  const { conversations } = session;
  const all = useStore(conversations.all);
  const id = useStore(conversations.chosenId);
  const running = useStore(session.running);
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
      session.ask(conversation?.id ?? null, before);
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
      <ConversationList conversations={conversations} isBusy={running !== null} />
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
        unsent={session.unsent}
        isRunning={running !== null}
        supportsImages={supportsImages}
        onStop={() => running?.stop.abort()}
        onSend={(text, images) => send([...messages, { role: "user", id: newId(), text, images }])}
      />
    </section>
  );
}
