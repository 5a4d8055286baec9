import type { BrowserStorage } from "../store/browser-storage";
import type { Store } from "../store/store";

/** Light, dark, or as the system has it. */
export type Theme = "system" | "light" | "dark";

/** The theme chosen in this browser; `theme.js` applies it before the first paint, this from then on. */
export function openTheme(storage: BrowserStorage): Store<Theme> {
  const theme = storage.shared<Theme>("paddler.theme", "system", (kept) =>
    kept === "light" || kept === "dark" ? kept : "system",
  );
  theme.watch(() => {
    if (theme.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
  });
  return theme;
}
