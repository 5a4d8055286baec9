/** Where the services are, as this browser can reach them. */

import type { PanelConfig, ServiceLocation } from "./messages";

export interface Config {
  version: string;
  managementUrl: string;
  inferenceUrl: string;
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch("./config.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`the panel's own server answered ${answer.status}`);
  const wire = (await answer.json()) as PanelConfig;
  return {
    version: wire.version,
    managementUrl: resolve(wire.management),
    inferenceUrl: resolve(wire.inference),
  };
}

function resolve(location: ServiceLocation): string {
  const page = window.location;
  if (location.url !== null) return new URL(location.url, page.origin).href.replace(/\/$/, "");
  return `${page.protocol}//${page.hostname}:${location.port}`;
}
