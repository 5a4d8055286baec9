import type { Store } from "../store/store";
import { useStore } from "../store/use-store";
import { Button } from "../ui/button";
import type { Theme } from "../ui/theme";
import * as styles from "./theme-choice.module.css";

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const LABEL: Record<Theme, string> = { system: "Auto", light: "Light", dark: "Dark" };
const SYMBOL: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

export function ThemeChoice({ theme }: { theme: Store<Theme> }) {
  const chosen = useStore(theme);
  const next = NEXT[chosen];
  return (
    <Button
      look="quiet"
      class={styles.theme}
      onClick={() => theme.set(next)}
      aria-label={`Theme: ${LABEL[chosen]}. Switch to ${LABEL[next]}`}
      title={`Theme: ${LABEL[chosen]}`}
    >
      <span aria-hidden="true">{SYMBOL[chosen]}</span>
    </Button>
  );
}
