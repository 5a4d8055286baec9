import type { Store } from "../../store/store";
import { useStore } from "../../store/use-store";
import { SelectField, TextField } from "../../ui/field";
import { Switch } from "../../ui/switch";
import { Hint } from "../../ui/text";
import {
  numberProblem,
  SAMPLING,
  type SamplingName,
  type Settings,
  toolsProblem,
} from "./settings";
import * as styles from "./settings-form.module.css";

const TOOLS_EXAMPLE = `[{"type": "function", "function": {"name": "weather", …}}]`;

export function SettingsForm({ settings, isChat }: { settings: Store<Settings>; isChat: boolean }) {
  const chosen = useStore(settings);
  const change = (part: Partial<Settings>) => settings.update((now) => ({ ...now, ...part }));
  const changeSampling = (name: SamplingName, typed: string) =>
    change({ sampling: { ...chosen.sampling, [name]: typed } });
  return (
    <div class={styles.settings}>
      {isChat && (
        <>
          <TextField
            label="System prompt"
            rows={3}
            value={chosen.systemPrompt}
            onInput={(systemPrompt) => change({ systemPrompt })}
          />
          <Switch
            label="Thinking"
            hint="Asks the chat template for reasoning; shown apart from the answer."
            checked={chosen.enableThinking}
            onChange={(enableThinking) => change({ enableThinking })}
          />
        </>
      )}
      <TextField
        label="Max tokens"
        inputMode="numeric"
        value={chosen.maxTokens}
        error={Number(chosen.maxTokens) >= 1 ? null : "Write a whole number from 1."}
        onInput={(maxTokens) => change({ maxTokens })}
      />
      <details>
        <summary>Sampling</summary>
        <Hint>Empty: as set on the Model page.</Hint>
        <div class={styles.sampling}>
          {SAMPLING.map(([name, label]) => (
            <TextField
              key={name}
              label={label}
              value={chosen.sampling[name]}
              error={numberProblem(chosen.sampling[name])}
              onInput={(typed) => changeSampling(name, typed)}
            />
          ))}
        </div>
      </details>
      <details>
        <summary>Grammar and stop strings</summary>
        <SelectField
          label="Constrain the answer"
          value={chosen.grammarKind}
          options={[
            ["none", "not at all"],
            ["json_schema", "by a JSON schema"],
            ["gbnf", "by a GBNF grammar"],
          ]}
          onChange={(kind) => change({ grammarKind: kind as Settings["grammarKind"] })}
        />
        {chosen.grammarKind !== "none" && (
          <TextField
            label={chosen.grammarKind === "gbnf" ? "Grammar" : "Schema"}
            rows={6}
            code
            value={chosen.grammar}
            onInput={(grammar) => change({ grammar })}
            hint={chosen.enableThinking && isChat ? "Not together with thinking." : undefined}
          />
        )}
        {chosen.grammarKind === "gbnf" && (
          <TextField
            label="Root rule"
            code
            value={chosen.grammarRoot}
            onInput={(grammarRoot) => change({ grammarRoot })}
          />
        )}
        <TextField
          label="Stop strings"
          rows={2}
          code
          value={chosen.stop}
          onInput={(stop) => change({ stop })}
          hint="One per line."
        />
      </details>
      {isChat && (
        <details>
          <summary>Tools</summary>
          <TextField
            label="Tools (JSON)"
            rows={8}
            code
            value={chosen.tools}
            placeholder={TOOLS_EXAMPLE}
            error={toolsProblem(chosen.tools)}
            onInput={(tools) => change({ tools })}
            hint="An array of functions; their arguments are checked against their schemas."
          />
        </details>
      )}
    </div>
  );
}
