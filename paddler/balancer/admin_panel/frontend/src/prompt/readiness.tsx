import type { DashboardSnapshot } from "../api/messages";
import { Banner } from "../ui/banner";
import type { Mode } from "./prompt-state";

/** Why nothing will be answered soon. */
export function Readiness({
  mode,
  dashboard,
}: {
  mode: Mode;
  dashboard: DashboardSnapshot | null;
}) {
  if (dashboard === null) return null;
  const models = dashboard.agents.flatMap(({ model }) => (model === null ? [] : [model]));
  const isReady = models.some((model) =>
    mode === "embeddings" ? model.can_embed : model.can_generate,
  );
  if (isReady) return null;
  const way = <a href="#/model">Model</a>;
  return (
    <Banner tone="warning" role="status" data-testid="not-ready">
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
    </Banner>
  );
}
