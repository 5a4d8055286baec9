import type { ContinueFromRawPrompt } from "../../api/messages";
import type { Services } from "../../api/services";
import { type BrowserStorage, text } from "../../store/browser-storage";
import { Store } from "../../store/store";
import { type Answer, EMPTY_ANSWER } from "../answer/answer";
import { generate } from "../answer/generation";
import { extrasOf, type Settings } from "../settings/settings";

export const RAW_PROMPT_PATH = "continue_from_raw_prompt";

interface Continuation {
  asked: ContinueFromRawPrompt;
  answer: Answer;
  stop: AbortController;
}

/** The prompt as typed, and how it goes on, also while another page is looked at. */
export class RawPromptSession {
  readonly prompt: Store<string>;
  readonly continuation = new Store<Continuation | null>(null);

  constructor(
    private readonly services: Services,
    private readonly settings: Store<Settings>,
    storage: BrowserStorage,
  ) {
    this.prompt = storage.shared("paddler.prompt.raw", "", text);
  }

  /** Has the prompt continued; throws BadSettings, and then nothing was sent. */
  run(): void {
    const asked = { raw_prompt: this.prompt.value, ...extrasOf(this.settings.value) };
    const stop = new AbortController();
    const show = (answer: Answer) => this.continuation.set({ asked, answer, stop });
    show(EMPTY_ANSWER);
    void generate(this.services, { path: RAW_PROMPT_PATH, body: asked }, stop.signal, show);
  }
}
