import { useEffect, useState } from "preact/hooks";

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
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({
  text,
  label,
  name,
}: {
  text: string | (() => string);
  label: string;
  name?: string;
}) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), CONFIRMED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      class="button small copy"
      aria-label={name ?? label}
      onClick={() => {
        const copying = copyText(typeof text === "string" ? text : text());
        void copying.then(() => setCopied(true));
      }}
    >
      <span class={copied ? "copy-hidden" : ""}>{label}</span>
      <span class={copied ? "copy-done" : "copy-done copy-hidden"} role="status">
        {copied ? "Copied" : ""}
      </span>
    </button>
  );
}

/** A command or snippet with its copy button. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <div class="copy-block">
      <pre tabIndex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} label="Copy" name={`Copy: ${label}`} />
    </div>
  );
}
