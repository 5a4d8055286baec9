/** Objects of which one field is there, as the messages have them: `{ Url: … } | { … }`. */

type Field<U> = U extends unknown
  ? { [Name in keyof U]: readonly [Name, U[Name]] }[keyof U]
  : never;

/** The field that is there, by name and value; switching on the name tells the value's type. */
export function fieldOf<U extends object>(oneOf: U): Field<U> {
  const [field] = Object.entries(oneOf);
  if (field === undefined) throw new TypeError("a message names nothing");
  return field as unknown as Field<U>;
}
