import { useStore } from "../api/store";
import { type Conversation, choose, chosenId, conversations, forget } from "./conversations";

export function ConversationList({ isBusy }: { isBusy: boolean }) {
  const all = useStore(conversations) ?? [];
  const id = useStore(chosenId);
  const chosen = all.find((one) => one.id === id) ?? null;
  return (
    <div class="conversations">
      <select
        aria-label="Conversation"
        value={chosen?.id ?? ""}
        disabled={isBusy}
        onChange={(event) => choose(event.currentTarget.value || null)}
      >
        <option value="">New conversation</option>
        {all.map((conversation) => (
          <option key={conversation.id} value={conversation.id}>
            {conversation.title}
          </option>
        ))}
      </select>
      <button type="button" class="button small" disabled={isBusy} onClick={() => choose(null)}>
        New
      </button>
      <button
        type="button"
        class="button small"
        disabled={chosen === null}
        onClick={() => chosen !== null && exportConversation(chosen)}
      >
        Export
      </button>
      <button
        type="button"
        class="button small"
        disabled={isBusy || chosen === null}
        onClick={() => chosen !== null && forget(chosen.id)}
      >
        Delete
      </button>
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
