import { useStore } from "../../store/use-store";
import { Button } from "../../ui/button";
import { Select } from "../../ui/control";
import type { Conversation } from "./conversation";
import * as styles from "./conversation-list.module.css";
import type { Conversations } from "./conversations";

export function ConversationList({
  conversations,
  isBusy,
}: {
  conversations: Conversations;
  isBusy: boolean;
}) {
  const all = useStore(conversations.all) ?? [];
  const id = useStore(conversations.chosenId);
  const chosen = all.find((one) => one.id === id) ?? null;
  return (
    <div class={styles.conversations}>
      <Select
        class={styles.chosen}
        aria-label="Conversation"
        value={chosen?.id ?? ""}
        disabled={isBusy}
        onChange={(event) => conversations.choose(event.currentTarget.value || null)}
      >
        <option value="">New conversation</option>
        {all.map((conversation) => (
          <option key={conversation.id} value={conversation.id}>
            {conversation.title}
          </option>
        ))}
      </Select>
      <Button small disabled={isBusy} onClick={() => conversations.choose(null)}>
        New
      </Button>
      <Button
        small
        disabled={chosen === null}
        onClick={() => chosen !== null && exportConversation(chosen)}
      >
        Export
      </Button>
      <Button
        small
        disabled={isBusy || chosen === null}
        onClick={() => chosen !== null && conversations.forget(chosen.id)}
      >
        Delete
      </Button>
    </div>
  );
}

function exportConversation(conversation: Conversation): void {
  const content = JSON.stringify(conversation, null, 2);
  const url = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `conversation-${conversation.id}.json`;
  link.click();
  URL.revokeObjectURL(url);
}
