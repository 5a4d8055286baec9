import type { AgentView } from "../api/messages";

/** By name, so that an agent stays where it is whoever joins or comes back. */
export function byName(agents: readonly AgentView[]): AgentView[] {
  return [...agents].sort(
    (a, b) => (a.name ?? "").localeCompare(b.name ?? "") || a.id.localeCompare(b.id),
  );
}
