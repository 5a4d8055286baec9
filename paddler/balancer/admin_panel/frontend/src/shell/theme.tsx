/** Light, dark, or as the system has it; `theme.js` applies the choice before the first paint. */

import { storedStore, useStore } from "../api/store";

type Theme = "system" | "light" | "dark";

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const LABEL: Record<Theme, string> = { system: "Auto", light: "Light", dark: "Dark" };
const SYMBOL: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

export const theme = storedStore<Theme>("paddler.theme", "system", (found) =>
  found === "light" || found === "dark" ? found : "system",
);

theme.watch(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});

export function ThemeChoice() {
  const chosen = useStore(theme);
  const next = NEXT[chosen];
  return (
    <button
      type="button"
      class="button quiet theme"
      onClick={() => theme.set(next)}
      aria-label={`Theme: ${LABEL[chosen]}. Switch to ${LABEL[next]}`}
      title={`Theme: ${LABEL[chosen]}`}
    >
      <span aria-hidden="true">{SYMBOL[chosen]}</span>
    </button>
  );
}
