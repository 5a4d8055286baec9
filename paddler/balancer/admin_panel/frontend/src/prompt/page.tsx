/** Talk to the fleet: conversations, raw prompts, embeddings. */

import { useState } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { Store, useStore } from "../api/store";
import type { Dashboard } from "../api/types";
import { Tabs } from "../ui/tabs";
import { Chat } from "./chat";
import { Embeddings } from "./embeddings";
import { RawPrompt } from "./raw-prompt";
import { SettingsForm } from "./settings-form";

/** Why nothing will be answered soon. */
function Readiness({ mode, dashboard }: { mode: Mode; dashboard: Dashboard | null }) {
  if (dashboard === null) return null;
  const models = dashboard.agents.flatMap(({ model }) => (model === null ? [] : [model]));
  const isReady = models.some((model) =>
    mode === "embeddings" ? model.can_embed : model.can_generate,
  );
  if (isReady) return null;
  const way = <a href="#/model">Model</a>;
  return (
    <p class="banner banner-warning" role="status" data-testid="not-ready">
      {models.length === 0 ? (
        <>
          No agent has a model loaded yet: requests wait in the buffer. Choose one on the {way}{" "}
          page.
        </>
      ) : mode === "embeddings" ? (
        <>Embeddings are off, or the model makes none. They are switched on on the {way} page.</>
      ) : (
        <>The model that is loaded makes embeddings only. Choose another on the {way} page.</>
      )}
    </p>
  );
}

const MODES = [
  ["chat", "Chat"],
  ["raw", "Raw prompt"],
  ["embeddings", "Embeddings"],
] as const;

type Mode = (typeof MODES)[number][0];

/** Kept while another page is looked at. */
const chosenMode = new Store<Mode>("chat");

export function PromptPage({ services, live }: { services: Services; live: Live }) {
  const mode = useStore(chosenMode);
  const dashboard = useStore(live.dashboard);
  const supportsImages =
    dashboard?.agents.some((agent) => agent.model?.supports_images === true) ?? false;
  const [showsSettings, setShowsSettings] = useState(false);
  return (
    <div class="page prompt-page">
      <div class="section-head">
        <h1>Prompt</h1>
        <Tabs
          label="What to send"
          tabs={MODES}
          chosen={mode}
          onChoose={(chosen) => chosenMode.set(chosen)}
        />
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
      <Readiness mode={mode} dashboard={dashboard} />
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
