import { SelectField, TextField } from "../ui/field";
import { Switch } from "../ui/switch";
import { GROUPS, PARAMETERS, type Parameter, type ParameterDraft, problemOf } from "./parameters";
import * as styles from "./parameters-form.module.css";

export function ParametersForm({
  draft,
  onChange,
}: {
  draft: ParameterDraft;
  onChange: (draft: ParameterDraft) => void;
}) {
  return (
    <>
      {GROUPS.map((group) => (
        <fieldset key={group} class={styles.group}>
          <legend>{group}</legend>
          <div class={styles.grid}>
            {PARAMETERS.filter((parameter) => parameter.group === group).map((parameter) => (
              <ParameterField
                key={parameter.name}
                parameter={parameter}
                value={draft[parameter.name]}
                onChange={(value) => onChange({ ...draft, [parameter.name]: value })}
              />
            ))}
          </div>
        </fieldset>
      ))}
    </>
  );
}

function ParameterField({
  parameter,
  value,
  onChange,
}: {
  parameter: Parameter;
  value: string | boolean;
  onChange: (value: string | boolean) => void;
}) {
  const hint = `${parameter.meaning} Default: ${defaultText(parameter)}.`;
  switch (parameter.kind) {
    case "switch":
      return (
        <Switch label={parameter.label} hint={hint} checked={value === true} onChange={onChange} />
      );
    case "choice":
      return (
        <SelectField
          label={parameter.label}
          hint={hint}
          value={String(value)}
          options={parameter.choices.map((choice) => [choice, choice] as const)}
          onChange={onChange}
        />
      );
    default:
      return (
        <TextField
          label={parameter.label}
          hint={hint}
          value={String(value)}
          inputMode={
            parameter.kind === "integer" && (parameter.min ?? -1) >= 0 ? "numeric" : "text"
          }
          error={problemOf(parameter, value)}
          onInput={onChange}
        />
      );
  }
}

function defaultText(parameter: Parameter): string {
  if (parameter.kind === "switch") return parameter.fallback ? "on" : "off";
  return String(parameter.fallback);
}
