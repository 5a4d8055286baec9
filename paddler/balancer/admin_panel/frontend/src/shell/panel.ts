import type { Config } from "../api/config";
import { Live } from "../api/live";
import { Services } from "../api/services";
import { DesiredStateForm } from "../model/desired-state-form";
import { openPromptState, type PromptState } from "../prompt/prompt-state";
import { BrowserStorage } from "../store/browser-storage";
import type { Store } from "../store/store";
import { openTheme, type Theme } from "../ui/theme";

/** What outlives a look at another page, made once for as long as the panel is open. */
export interface Panel {
  services: Services;
  live: Live;
  theme: Store<Theme>;
  form: DesiredStateForm;
  prompt: PromptState;
}

/** Reads what the browser kept; nothing is asked of the services yet. */
export function openPanel(config: Config): Panel {
  const services = new Services(config);
  const storage = new BrowserStorage();
  return {
    services,
    live: new Live(services),
    theme: openTheme(storage),
    form: new DesiredStateForm(services),
    prompt: openPromptState(services, storage),
  };
}
