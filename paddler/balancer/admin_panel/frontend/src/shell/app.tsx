/** The frame around every page: navigation, connection, theme. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ConnectionState } from "./connection-state";
import { Notices } from "./notices";
import { PAGES, pageAt } from "./pages";
import type { Panel } from "./panel";
import { ThemeChoice } from "./theme-choice";

export function App({ panel }: { panel: Panel }) {
  const [page, setPage] = useState(() => pageAt(window.location.hash));
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const follow = () => setPage(pageAt(window.location.hash));
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    document.title = `${page.title} – Paddler`;
    window.scrollTo(0, 0);
  }, [page]);
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
            {PAGES.map(({ path, title }) => (
              <li key={path}>
                <a href={`#/${path}`} aria-current={path === page.path ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="top-end">
          <ConnectionState live={panel.live} />
          <ThemeChoice theme={panel.theme} />
        </div>
      </header>
      <Notices services={panel.services} live={panel.live} />
      <main id="main" ref={main} tabIndex={-1}>
        {page.render(panel)}
      </main>
    </>
  );
}
