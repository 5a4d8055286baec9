/** A conversation: its list of messages, the running answer, the composer. */

import { useRef, useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { Button } from "../../ui/button";
import { ScrollRegion } from "../../ui/scroll-region";
import { Muted, Problem, Unseen } from "../../ui/text";
import { AnswerView, SnippetButtons } from "../answer/answer-view";
import * as styles from "./chat.module.css";
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
  const list = useRef<HTMLElement>(null);

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
    <section class={styles.chat} aria-label="Conversation">
      <ConversationList conversations={conversations} isBusy={running !== null} />
      <ScrollRegion label="Messages" log box={list} class={styles.messages} data-testid="messages">
        {messages.length === 0 && all !== null && (
          <Muted class={styles.empty}>
            Write a message below. Conversations stay in this browser; nothing is stored on the
            balancer.
          </Muted>
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
            <article key={message.id} class={styles.answer} aria-label="Answer">
              <AnswerView
                answer={message.answer}
                actions={
                  <>
                    {message === messages.at(-1) && (
                      <Button
                        small
                        disabled={running !== null}
                        onClick={() => send(messages.slice(0, -1))}
                      >
                        Regenerate
                      </Button>
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
      </ScrollRegion>
      <Unseen tag="p" role="status">
        {running === null ? "" : "The answer is being written."}
      </Unseen>
      {isUnkept && (
        <Problem role="status">
          This browser's storage is full or off: the conversation will not survive a reload.
        </Problem>
      )}
      {problem !== null && <Problem role="alert">{problem}</Problem>}
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
