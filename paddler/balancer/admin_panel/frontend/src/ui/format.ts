/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

export function rate(value: number): string {
  return value >= 100 || Number.isInteger(value) ? whole.format(value) : one.format(value);
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(size) : one.format(size)} ${units[unit] ?? ""}`;
}

export function parameters(value: number): string {
  if (value >= 1e9) return `${one.format(value / 1e9)} B parameters`;
  return `${whole.format(value / 1e6)} M parameters`;
}

export function milliseconds(value: number): string {
  if (value < 1000) return `${whole.format(value)} ms`;
  return `${one.format(value / 1000)} s`;
}

export function percent(share: number): string {
  return `${whole.format(share * 100)} %`;
}

export function plural(n: number, singular: string): string {
  return `${whole.format(n)} ${singular}${n === 1 ? "" : "s"}`;
}
