/** What the panel asks of the management and inference services. */

import type { Config } from "./config";
import { type EventHandlers, followEvents } from "./events";
import { getJson, jsonBody, linesOf, ServiceError, send } from "./http";
import type {
  AgentModelDetails,
  ContinueFromConversationHistory,
  ContinueFromRawPrompt,
  DashboardSnapshot,
  DesiredState,
  GenerateEmbeddingBatch,
  HistorySnapshot,
  InferenceAnswer,
  InferenceResponse,
  TemplateCheck,
  TemplateSource,
} from "./messages";

/** A request of a generation, by the path that serves it. */
export type GenerationRequest =
  | { path: "continue_from_conversation_history"; body: ContinueFromConversationHistory }
  | { path: "continue_from_raw_prompt"; body: ContinueFromRawPrompt };

type Responses = AsyncGenerator<InferenceResponse>;

export class Services {
  constructor(readonly config: Config) {}

  followDashboard(handlers: EventHandlers<DashboardSnapshot>): () => void {
    return followEvents(this.management("dashboard/stream"), handlers);
  }

  history(): Promise<HistorySnapshot> {
    return getJson(this.management("dashboard/history"));
  }

  desiredState(): Promise<DesiredState> {
    return getJson(this.management("balancer_desired_state"));
  }

  async putDesiredState(state: DesiredState): Promise<void> {
    await send(this.management("balancer_desired_state"), jsonBody("PUT", state));
  }

  agentModel(agentId: string): Promise<AgentModelDetails | null> {
    return getJson(this.management(`agent/${encodeURIComponent(agentId)}/model`));
  }

  async checkTemplate(content: string, signal: AbortSignal): Promise<TemplateCheck> {
    const url = this.management("chat_template_check");
    const source: TemplateSource = { content };
    return (await (await send(url, jsonBody("POST", source, signal))).json()) as TemplateCheck;
  }

  inference(path: string): string {
    return `${this.config.inferenceUrl}/api/v1/${path}`;
  }

  /** The items of a generation; the request's failure is thrown. */
  generate({ path, body }: GenerationRequest, signal: AbortSignal): Responses {
    return this.stream(path, body, signal);
  }

  /** The items of a batch; the request's failure is thrown. */
  embed(batch: GenerateEmbeddingBatch, signal: AbortSignal): Responses {
    return this.stream("generate_embedding_batch", batch, signal);
  }

  private async *stream(path: string, request: unknown, signal: AbortSignal): Responses {
    const answer = await send(this.inference(path), jsonBody("POST", request, signal));
    for await (const line of linesOf(answer)) {
      if (line === "") continue;
      const item = JSON.parse(line) as InferenceAnswer;
      if ("Error" in item) {
        const { code, description } = item.Error.error;
        throw new ServiceError(description, { status: code });
      }
      yield item.Response;
    }
  }

  private management(path: string): string {
    return `${this.config.managementUrl}/api/v1/${path}`;
  }
}
