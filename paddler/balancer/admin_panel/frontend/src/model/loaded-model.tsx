import { useState } from "preact/hooks";
import type { AgentModelDetails, AgentView } from "../api/messages";
import type { Services } from "../api/services";
import { byName } from "../fleet/order";
import { Actions } from "../ui/actions";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { CopyButton } from "../ui/copy";
import { SelectField, TextField } from "../ui/field";
import { Table } from "../ui/table";
import { Muted, Problem } from "../ui/text";
import * as styles from "./loaded-model.module.css";
import { useModelDetails } from "./model-details";
import { Viewer } from "./viewer";

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
    <Card stacked aria-labelledby="loaded-title">
      <h2 id="loaded-title">Loaded model</h2>
      {agent === undefined && <Muted>No agent has a model loaded.</Muted>}
      {problem !== null && <Problem>{problem}</Problem>}
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
    </Card>
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
      <p class={styles.path}>
        <bdi>{details.path}</bdi>
      </p>
      <details class={styles.details}>
        <summary>
          Chat template
          {details.uses_chat_template_override ? " (override)" : " (the model's own)"}
        </summary>
        {template === null ? (
          <Muted>None: conversations cannot be served, raw prompts can.</Muted>
        ) : (
          <>
            <Actions>
              <CopyButton text={template} label="Copy" name="Copy the chat template" />
              <Button small onClick={() => onUseTemplate(template)}>
                Edit a copy
              </Button>
            </Actions>
            <Viewer tag="pre" label="Chat template in use">
              {template}
            </Viewer>
          </>
        )}
      </details>
      <details class={styles.details}>
        <summary>Metadata ({Object.keys(details.metadata).length} keys)</summary>
        <TextField label="Filter" value={filter} onInput={setFilter} type="search" />
        <Viewer tag="div" label="Metadata">
          <Table class={styles.metadata}>
            <tbody>
              {rows.map(([key, value]) => (
                <tr key={key}>
                  <th scope="row">{key}</th>
                  <td>{value.length > 400 ? `${value.slice(0, 400)}…` : value}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Viewer>
      </details>
    </>
  );
}
