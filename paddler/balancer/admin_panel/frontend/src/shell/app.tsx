/** The frame around every page: navigation, connection, theme. */

import { useEffect, useRef, useState } from "preact/hooks";
import * as styles from "./app.module.css";
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
      <SkipLink onSkip={() => main.current?.focus()} />
      <header class={styles.top}>
        <a class={styles.brand} href="#/dashboard" aria-label="Paddler, dashboard">
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
        <div class={styles.end}>
          <ConnectionState live={panel.live} />
          <ThemeChoice theme={panel.theme} />
        </div>
      </header>
      <Notices services={panel.services} live={panel.live} />
      <main id="main" class={styles.main} ref={main} tabIndex={-1}>
        {page.render(panel)}
      </main>
    </>
  );
}

function SkipLink({ onSkip }: { onSkip: () => void }) {
  return (
    // biome-ignore lint/a11y/useValidAnchor: it leads to #main; the address names the page
    <a
      class={styles.skipLink}
      href="#main"
      onClick={(event) => {
        event.preventDefault();
        onSkip();
      }}
    >
      Skip to content
    </a>
  );
}
