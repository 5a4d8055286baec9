/** The frame around every page: navigation, connection, theme. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../api/store";
import { DashboardPage } from "../dashboard/page";
import { ModelPage } from "../model/page";
import { PromptPage } from "../prompt/page";
import { ThemeChoice } from "./theme";

const PAGES = [
  { path: "dashboard", title: "Dashboard" },
  { path: "model", title: "Model" },
  { path: "prompt", title: "Prompt" },
] as const;

type Path = (typeof PAGES)[number]["path"];

function currentPath(): Path {
  const wanted = window.location.hash.replace(/^#\/?/, "");
  return PAGES.find((page) => page.path === wanted)?.path ?? "dashboard";
}

export function App({ services, live }: { services: Services; live: Live }) {
  const [path, setPath] = useState<Path>(currentPath);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const follow = () => setPath(currentPath());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    const title = PAGES.find((page) => page.path === path)?.title ?? "";
    document.title = `${title} – Paddler`;
    window.scrollTo(0, 0);
  }, [path]);
  return (
    <>
      <a
        class="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href="#/dashboard" aria-label="Paddler, dashboard">
          <img src="./icon.svg" alt="" width="26" height="26" />
          <span>Paddler</span>
        </a>
        <nav aria-label="Pages">
          <ul>
            {PAGES.map((page) => (
              <li key={page.path}>
                <a href={`#/${page.path}`} aria-current={page.path === path ? "page" : undefined}>
                  {page.title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="top-end">
          <ConnectionState live={live} />
          <ThemeChoice />
        </div>
      </header>
      <Notices services={services} live={live} />
      <main id="main" ref={main} tabIndex={-1}>
        <Page path={path} services={services} live={live} />
      </main>
    </>
  );
}

function Page({ path, services, live }: { path: Path; services: Services; live: Live }) {
  switch (path) {
    case "dashboard":
      return <DashboardPage live={live} services={services} />;
    case "model":
      return <ModelPage live={live} services={services} />;
    case "prompt":
      return <PromptPage live={live} services={services} />;
  }
}

const CONNECTION_TEXT = { connecting: "Connecting", up: "Live", down: "Reconnecting" } as const;

function ConnectionState({ live }: { live: Live }) {
  const connection = useStore(live.connection);
  return (
    <span class={`connection connection-${connection}`} data-testid="connection">
      <span class="dot" aria-hidden="true" />
      {CONNECTION_TEXT[connection]}
    </span>
  );
}

const NOTICE_MS = 8000;

function Notices({ services, live }: { services: Services; live: Live }) {
  const connection = useStore(live.connection);
  const notice = useStore(live.notice);
  const isOutdated = useStore(live.isOutdated);
  useEffect(() => {
    if (notice === null) return undefined;
    const timer = setTimeout(() => live.notice.set(null), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice, live]);
  let content: ComponentChildren = null;
  if (connection === "down") {
    content = (
      <p class="banner banner-warning">
        The balancer cannot be reached at <code>{services.config.managementUrl}</code>. Trying
        again; what you see may be out of date.
      </p>
    );
  } else if (isOutdated) {
    content = (
      <p class="banner banner-warning">
        The balancer is of another version now.{" "}
        <button type="button" class="button small" onClick={() => window.location.reload()}>
          Reload the panel
        </button>
      </p>
    );
  } else if (notice !== null) {
    content = <p class="banner banner-good">{notice}</p>;
  }
  return (
    <div class="notices" role="status" aria-live="polite">
      {content}
    </div>
  );
}
