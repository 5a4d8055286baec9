/** Talk to the fleet: conversations, raw prompts, embeddings. */

import { useState } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../api/store";
import { Tabs } from "../ui/tabs";
import { Chat } from "./chat";
import { Embeddings } from "./embeddings";
import { RawPrompt } from "./raw-prompt";
import { SettingsForm } from "./settings-form";

const MODES = [
  ["chat", "Chat"],
  ["raw", "Raw prompt"],
  ["embeddings", "Embeddings"],
] as const;

type Mode = (typeof MODES)[number][0];

export function PromptPage({ services, live }: { services: Services; live: Live }) {
  const [mode, setMode] = useState<Mode>("chat");
  const dashboard = useStore(live.dashboard);
  const supportsImages =
    dashboard?.agents.some((agent) => agent.model?.supports_images === true) ?? false;
  const [showsSettings, setShowsSettings] = useState(false);
  return (
    <div class="page prompt-page">
      <div class="section-head">
        <h1>Prompt</h1>
        <Tabs label="What to send" tabs={MODES} chosen={mode} onChoose={setMode} />
        {mode !== "embeddings" && (
          <button
            type="button"
            class="button small settings-toggle"
            aria-expanded={showsSettings}
            aria-controls="prompt-settings"
            onClick={() => setShowsSettings(!showsSettings)}
          >
            Settings
          </button>
        )}
      </div>
      <div
        class={mode === "embeddings" ? "prompt-columns prompt-wide" : "prompt-columns"}
        role="tabpanel"
        id={`tabpanel-${mode}`}
        aria-labelledby={`tab-${mode}`}
      >
        {mode === "chat" && <Chat services={services} supportsImages={supportsImages} />}
        {mode === "raw" && <RawPrompt services={services} />}
        {mode === "embeddings" && <Embeddings services={services} />}
        {mode !== "embeddings" && (
          <aside
            id="prompt-settings"
            class={showsSettings ? "card prompt-settings shown" : "card prompt-settings"}
            aria-label="Settings of requests"
          >
            <SettingsForm isChat={mode === "chat"} />
          </aside>
        )}
      </div>
    </div>
  );
}
