import type { SlotState, SlotView } from "../api/messages";
import { classes } from "../ui/classes";
import { count } from "../ui/format";
import { Unseen } from "../ui/text";
import * as styles from "./slots.module.css";

const STATE_TEXT = { free: "free", prefill: "reading a prompt", decode: "generating" } as const;

/** A slot's state, and of free ones whether a conversation is in their cache. */
type Look = SlotState | "cached";

const LOOKS: Record<Look, string | undefined> = {
  free: styles.free,
  prefill: styles.prefill,
  decode: styles.decode,
  cached: styles.cached,
};

/** An agent's slots, a cell each. */
export function Slots({ slots }: { slots: readonly SlotView[] }) {
  const looks = slots.map(lookOf);
  const n = (look: Look) => looks.filter((one) => one === look).length;
  return (
    <div class={styles.block}>
      <ol class={styles.slots} aria-label="Slots">
        {slots.map((slot, index) => (
          <li
            // biome-ignore lint/suspicious/noArrayIndexKey: a slot is known by its place
            key={index}
            class={classes(styles.slot, LOOKS[lookOf(slot)])}
            title={titleOf(slot, index)}
          >
            <Unseen>{titleOf(slot, index)}</Unseen>
          </li>
        ))}
      </ol>
      <p class={styles.legend}>
        <Key look="decode" n={n("decode")} text="generating" />
        <Key look="prefill" n={n("prefill")} text="prefilling" />
        <Key look="cached" n={n("cached")} text="cached" />
        <Key look="free" n={n("free")} text="free" />
      </p>
    </div>
  );
}

function Key({ look, n, text }: { look: Look; n: number; text: string }) {
  return (
    <span class={styles.key}>
      <span class={classes(styles.slot, LOOKS[look])} aria-hidden="true" />
      {n} {text}
    </span>
  );
}

function lookOf({ state, cached_tokens: cachedTokens }: SlotView): Look {
  return state === "free" && cachedTokens > 0 ? "cached" : state;
}

function titleOf(slot: SlotView, index: number): string {
  const cached = slot.cached_tokens > 0 ? `, ${count(slot.cached_tokens)} tokens cached` : "";
  return `Slot ${index}: ${STATE_TEXT[slot.state]}${cached}`;
}
