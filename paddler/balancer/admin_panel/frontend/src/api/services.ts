/** What the panel asks of the management and inference services. */

import type { Config } from "./config";
import { type EventHandlers, followEvents } from "./events";
import { getJson, jsonBody, linesOf, ServiceError, send } from "./http";
import type {
  AgentModelDetails,
  Dashboard,
  DesiredState,
  EmbeddingRequest,
  Envelope,
  History,
  TemplateCheck,
} from "./types";

export class Services {
  constructor(readonly config: Config) {}

  followDashboard(handlers: EventHandlers<Dashboard>): () => void {
    return followEvents(this.management("dashboard/stream"), handlers);
  }

  history(): Promise<History> {
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
    return (await (await send(url, jsonBody("POST", { content }, signal))).json()) as TemplateCheck;
  }

  inference(path: string): string {
    return `${this.config.inferenceUrl}/api/v1/${path}`;
  }

  /** Sends a request and yields its items; an Error envelope is thrown. */
  async *stream(path: string, request: unknown, signal: AbortSignal): AsyncGenerator<Envelope> {
    const answer = await send(this.inference(path), jsonBody("POST", request, signal));
    for await (const line of linesOf(answer)) {
      if (line === "") continue;
      const envelope = JSON.parse(line) as Envelope;
      if (envelope.Error) {
        const { code, description } = envelope.Error.error;
        throw new ServiceError(description, { status: code });
      }
      yield envelope;
    }
  }

  embed(request: EmbeddingRequest, signal: AbortSignal): AsyncGenerator<Envelope> {
    return this.stream("generate_embedding_batch", request, signal);
  }

  private management(path: string): string {
    return `${this.config.managementUrl}/api/v1/${path}`;
  }
}
