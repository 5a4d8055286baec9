import type { Live } from "../api/live";
import { useStore } from "../store/use-store";

const TEXT = { connecting: "Connecting", up: "Live", down: "Reconnecting" } as const;

export function ConnectionState({ live }: { live: Live }) {
  const connection = useStore(live.connection);
  return (
    <span class={`connection connection-${connection}`} data-testid="connection">
      <span class="dot" aria-hidden="true" />
      {TEXT[connection]}
    </span>
  );
}
