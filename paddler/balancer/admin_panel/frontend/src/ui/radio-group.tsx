import * as styles from "./radio-group.module.css";
import { Unseen } from "./text";

/** One of a few; `legend` is for those who listen. */
export function RadioGroup<T extends string>({
  legend,
  name,
  options,
  chosen,
  onChoose,
}: {
  legend: string;
  /** Of this group alone on its page. */
  name: string;
  options: readonly (readonly [value: T, text: string])[];
  chosen: T;
  onChoose: (value: T) => void;
}) {
  return (
    <fieldset class={styles.group}>
      <Unseen tag="legend">{legend}</Unseen>
      {options.map(([value, text]) => (
        <label key={value}>
          <input
            type="radio"
            name={name}
            checked={value === chosen}
            onChange={() => onChoose(value)}
          />
          {text}
        </label>
      ))}
    </fieldset>
  );
}
