import { useState } from "preact/hooks";
import type { AgentModelDetails, AgentView } from "../api/messages";
import type { Services } from "../api/services";
import { byName } from "../fleet/order";
import { CopyButton } from "../ui/copy";
import { SelectField, TextField } from "../ui/field";
import { useModelDetails } from "./model-details";

/** Metadata and template of the model that an agent serves now. */
export function LoadedModel({
  agents,
  services,
  onUseTemplate,
}: {
  agents: readonly AgentView[];
  services: Services;
  onUseTemplate: (template: string) => void;
}) {
  const serving = byName(agents).filter(({ model }) => model !== null);
  const [chosenId, setChosenId] = useState<string | null>(null);
  const agent = serving.find(({ id }) => id === chosenId) ?? serving[0];
  const { details, problem } = useModelDetails(services, agent);

  return (
    <section class="card" aria-labelledby="loaded-title">
      <h2 id="loaded-title">Loaded model</h2>
      {agent === undefined && <p class="muted">No agent has a model loaded.</p>}
      {problem !== null && <p class="field-error">{problem}</p>}
      {serving.length > 1 && (
        <SelectField
          label="Agent"
          value={agent?.id ?? ""}
          options={serving.map(({ id, name }) => [id, name ?? id] as const)}
          onChange={setChosenId}
        />
      )}
      {agent !== undefined && details !== null && (
        <Details details={details} onUseTemplate={onUseTemplate} />
      )}
    </section>
  );
}

function Details({
  details,
  onUseTemplate,
}: {
  details: AgentModelDetails;
  onUseTemplate: (template: string) => void;
}) {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const rows = Object.entries(details.metadata)
    .filter(([key, value]) => `${key} ${value}`.toLowerCase().includes(wanted))
    .sort(([a], [b]) => a.localeCompare(b));
  const { chat_template: template } = details;
  return (
    <>
      <p class="loaded-path">
        <bdi>{details.path}</bdi>
      </p>
      <details>
        <summary>
          Chat template
          {details.uses_chat_template_override ? " (override)" : " (the model's own)"}
        </summary>
        {template === null ? (
          <p class="muted">None: conversations cannot be served, raw prompts can.</p>
        ) : (
          <>
            <div class="actions">
              <CopyButton text={template} label="Copy" name="Copy the chat template" />
              <button type="button" class="button small" onClick={() => onUseTemplate(template)}>
                Edit a copy
              </button>
            </div>
            <pre class="viewer" tabIndex={0} aria-label="Chat template in use">
              {template}
            </pre>
          </>
        )}
      </details>
      <details>
        <summary>Metadata ({Object.keys(details.metadata).length} keys)</summary>
        <TextField label="Filter" value={filter} onInput={setFilter} type="search" />
        <div class="table-scroll viewer" tabIndex={0} role="region" aria-label="Metadata">
          <table class="metadata">
            <tbody>
              {rows.map(([key, value]) => (
                <tr key={key}>
                  <th scope="row">{key}</th>
                  <td>{value.length > 400 ? `${value.slice(0, 400)}…` : value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}
