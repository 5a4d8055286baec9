import type { ComponentChildren } from "preact";
import { DashboardPage } from "../dashboard/page";
import { ModelPage } from "../model/page";
import { PromptPage } from "../prompt/page";
import type { Panel } from "./panel";

export interface PanelPage {
  /** Behind the `#/` of the address. */
  path: string;
  title: string;
  render: (panel: Panel) => ComponentChildren;
}

const DASHBOARD: PanelPage = {
  path: "dashboard",
  title: "Dashboard",
  render: ({ live, services, theme }) => (
    <DashboardPage live={live} services={services} theme={theme} />
  ),
};

/** In the order of the navigation. */
export const PAGES: readonly PanelPage[] = [
  DASHBOARD,
  {
    path: "model",
    title: "Model",
    render: ({ live, services, form }) => <ModelPage live={live} services={services} form={form} />,
  },
  {
    path: "prompt",
    title: "Prompt",
    render: ({ live, services, prompt }) => (
      <PromptPage live={live} services={services} prompt={prompt} />
    ),
  },
];

/** The page at an address' hash; the dashboard where there is none. */
export function pageAt(hash: string): PanelPage {
  const path = hash.replace(/^#\/?/, "");
  return PAGES.find((page) => page.path === path) ?? DASHBOARD;
}
