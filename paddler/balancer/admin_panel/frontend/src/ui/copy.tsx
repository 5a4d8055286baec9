import { useEffect, useState } from "preact/hooks";
import { Button } from "./button";
import { classes } from "./classes";
import * as styles from "./copy.module.css";
import { ScrollRegion } from "./scroll-region";

const CONFIRMED_MS = 1600;

/** Copies text; also where the page has no secure context, as on plain http. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.setAttribute("readonly", "");
  area.className = classes(styles.source);
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({
  text,
  label,
  name,
  class: more,
}: {
  text: string | (() => string);
  label: string;
  name?: string;
  class?: string | undefined;
}) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), CONFIRMED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Button
      small
      class={classes(styles.copy, more)}
      aria-label={name ?? label}
      onClick={() => {
        const copying = copyText(typeof text === "string" ? text : text());
        void copying.then(() => setCopied(true));
      }}
    >
      <span class={classes(copied && styles.hidden)}>{label}</span>
      <span class={classes(styles.done, !copied && styles.hidden)} role="status">
        {copied ? "Copied" : ""}
      </span>
    </Button>
  );
}

/** A command or snippet with its copy button. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <div class={styles.block}>
      <ScrollRegion tag="pre" label={label} class={styles.snippet}>
        <code>{text}</code>
      </ScrollRegion>
      <CopyButton text={text} label="Copy" name={`Copy: ${label}`} class={styles.corner} />
    </div>
  );
}
