/** A few views of one thing; arrow keys move between them. */

import { useRef } from "preact/hooks";
import { classes } from "./classes";
import * as styles from "./tabs.module.css";

export function Tabs<T extends string>({
  label,
  tabs,
  chosen,
  onChoose,
  class: more,
}: {
  label: string;
  tabs: readonly (readonly [value: T, text: string])[];
  chosen: T;
  onChoose: (value: T) => void;
  class?: string | undefined;
}) {
  const list = useRef<HTMLDivElement>(null);
  const move = (step: number) => {
    const at = tabs.findIndex(([value]) => value === chosen);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (next === undefined) return;
    onChoose(next[0]);
    list.current?.querySelector<HTMLElement>(`[data-tab="${next[0]}"]`)?.focus();
  };
  return (
    <div
      class={classes(styles.tabs, more)}
      role="tablist"
      aria-label={label}
      ref={list}
      onKeyDown={(event) => {
        if (event.key === "ArrowRight") move(1);
        else if (event.key === "ArrowLeft") move(-1);
      }}
    >
      {tabs.map(([value, text]) => (
        <button
          key={value}
          type="button"
          role="tab"
          id={`tab-${value}`}
          data-tab={value}
          aria-selected={value === chosen}
          aria-controls={`tabpanel-${value}`}
          tabIndex={value === chosen ? 0 : -1}
          onClick={() => onChoose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
