import type { Agent } from "../api/types";

/** By name, so that an agent stays where it is whoever joins or comes back. */
export function byName(agents: readonly Agent[]): Agent[] {
  return [...agents].sort(
    (a, b) => (a.name ?? "").localeCompare(b.name ?? "") || a.id.localeCompare(b.id),
  );
}
