/** Labelled form controls: the label, the control, what it means, what is wrong with it. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Input, Select, TextArea } from "./control";
import * as styles from "./field.module.css";
import { Hint, Problem } from "./text";

interface Described {
  label: string;
  hint?: ComponentChildren;
  error?: string | null | undefined;
}

function Frame({
  id,
  label,
  hint,
  error,
  children,
}: Described & { id: string; children: ComponentChildren }) {
  return (
    <div class={styles.field}>
      <label for={id}>{label}</label>
      {children}
      {hint !== undefined && <Hint id={`${id}-hint`}>{hint}</Hint>}
      {error && (
        <Problem id={`${id}-error`} role="alert">
          {error}
        </Problem>
      )}
    </div>
  );
}

function describedBy(id: string, { hint, error }: Described): string | undefined {
  const ids = [hint !== undefined && `${id}-hint`, error && `${id}-error`].filter(Boolean);
  return ids.length > 0 ? ids.join(" ") : undefined;
}

interface TextProps extends Described {
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  rows?: number;
  type?: string;
  code?: boolean;
  inputMode?: "decimal" | "numeric" | "text";
}

export function TextField(props: TextProps) {
  const id = useId();
  const shared = {
    id,
    value: props.value,
    placeholder: props.placeholder,
    code: props.code,
    wrong: Boolean(props.error),
    spellcheck: !props.code,
    "aria-describedby": describedBy(id, props),
    "aria-invalid": props.error ? true : undefined,
  };
  return (
    <Frame id={id} {...props}>
      {props.rows === undefined ? (
        <Input
          {...shared}
          type={props.type ?? "text"}
          inputMode={props.inputMode}
          autocomplete="off"
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      ) : (
        <TextArea
          {...shared}
          class={styles.area}
          rows={props.rows}
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

export function SelectField(
  props: Described & {
    value: string;
    options: readonly (readonly [value: string, text: string])[];
    onChange: (value: string) => void;
  },
) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <Select
        id={id}
        value={props.value}
        aria-describedby={describedBy(id, props)}
        onChange={(event) => props.onChange(event.currentTarget.value)}
      >
        {props.options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </Select>
    </Frame>
  );
}
