/** The classes of a component's stylesheet by name; `tests/styles.test.ts` knows which there are. */
declare module "*.module.css" {
  const classes: Readonly<Record<string, string>>;
  export = classes;
}

declare module "*.css";
