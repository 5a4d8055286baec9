/** Where the services are, as this browser can reach them. */

interface Location {
  port: number;
  url: string | null;
}

interface WireConfig {
  version: string;
  management: Location;
  inference: Location;
}

export interface Config {
  version: string;
  managementUrl: string;
  inferenceUrl: string;
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch("./config.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`the panel's own server answered ${answer.status}`);
  const wire = (await answer.json()) as WireConfig;
  return {
    version: wire.version,
    managementUrl: resolve(wire.management),
    inferenceUrl: resolve(wire.inference),
  };
}

function resolve(location: Location): string {
  const page = window.location;
  if (location.url !== null) return new URL(location.url, page.origin).href.replace(/\/$/, "");
  return `${page.protocol}//${page.hostname}:${location.port}`;
}
