/** Talk to the fleet: conversations, raw prompts, embeddings. */

import { useState } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../store/use-store";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { classes } from "../ui/classes";
import { Head, Page } from "../ui/page";
import { Tabs } from "../ui/tabs";
import { Chat } from "./chat/chat";
import { Embeddings } from "./embeddings/embeddings";
import * as styles from "./page.module.css";
import { MODES, type PromptState } from "./prompt-state";
import { RawPrompt } from "./raw-prompt/raw-prompt";
import { Readiness } from "./readiness";
import { SettingsForm } from "./settings/settings-form";

export function PromptPage({
  services,
  live,
  prompt,
}: {
  services: Services;
  live: Live;
  prompt: PromptState;
}) {
  const mode = useStore(prompt.mode);
  const dashboard = useStore(live.dashboard);
  const supportsImages =
    dashboard?.agents.some((agent) => agent.model?.supports_images === true) ?? false;
  const [showsSettings, setShowsSettings] = useState(false);
  return (
    <Page class={styles.page}>
      <Head class={styles.head}>
        <h1>Prompt</h1>
        <Tabs
          label="What to send"
          tabs={MODES}
          chosen={mode}
          onChoose={(chosen) => prompt.mode.set(chosen)}
          class={styles.tabs}
        />
        {mode !== "embeddings" && (
          <Button
            small
            class={styles.toggle}
            aria-expanded={showsSettings}
            aria-controls="prompt-settings"
            onClick={() => setShowsSettings(!showsSettings)}
          >
            Settings
          </Button>
        )}
      </Head>
      <Readiness mode={mode} dashboard={dashboard} />
      <div
        class={classes(styles.columns, mode === "embeddings" && styles.wide)}
        role="tabpanel"
        id={`tabpanel-${mode}`}
        aria-labelledby={`tab-${mode}`}
      >
        {mode === "chat" && (
          <Chat
            services={services}
            session={prompt.chat}
            storageFailed={prompt.storageFailed}
            supportsImages={supportsImages}
          />
        )}
        {mode === "raw" && <RawPrompt services={services} session={prompt.rawPrompt} />}
        {mode === "embeddings" && <Embeddings services={services} documents={prompt.documents} />}
        {mode !== "embeddings" && (
          <Card
            tag="aside"
            id="prompt-settings"
            class={classes(styles.settings, showsSettings && styles.shown)}
            aria-label="Settings of requests"
          >
            <SettingsForm settings={prompt.settings} isChat={mode === "chat"} />
          </Card>
        )}
      </div>
    </Page>
  );
}
