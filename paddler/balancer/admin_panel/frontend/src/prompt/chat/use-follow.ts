import { useEffect, useRef } from "preact/hooks";
import type { Message } from "./conversation";

const NEAR_PX = 160;

/** Keeps the end in view while the reader is there already; a conversation opens at its end. */
export function useFollow(
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
  // biome-ignore lint/correctness/useExhaustiveDependencies(messages): more text
  // biome-ignore lint/correctness/useExhaustiveDependencies(id): another conversation
  useEffect(() => {
    if (wasNear.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [messages, id, list]);
}
