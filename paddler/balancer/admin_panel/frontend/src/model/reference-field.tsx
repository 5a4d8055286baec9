import { messageOf } from "../api/http";
import { TextField } from "../ui/field";
import { describeReference, parseReference } from "./model-reference";

export function ReferenceField({
  label,
  value,
  onInput,
  note,
}: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  note?: string;
}) {
  let hint = note ?? "";
  let error: string | null = null;
  try {
    const reference = parseReference(value);
    if (reference !== "None" || note === undefined) hint = describeReference(reference);
  } catch (problem) {
    error = messageOf(problem);
  }
  return (
    <TextField
      label={label}
      value={value}
      onInput={onInput}
      hint={hint}
      error={error}
      code
      placeholder="hf:owner/repository/file.gguf, a link, or agent:///path.gguf"
    />
  );
}
