import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../store/use-store";
import { Banner } from "../ui/banner";
import { Button } from "../ui/button";
import * as styles from "./notices.module.css";

const NOTICE_MS = 8000;

/** What the whole panel has to tell: one thing at a time, the gravest first. */
export function Notices({ services, live }: { services: Services; live: Live }) {
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
      <Banner tone="warning" class={styles.afloat}>
        The balancer cannot be reached at <code>{services.config.managementUrl}</code>. Trying
        again; what you see may be out of date.
      </Banner>
    );
  } else if (isOutdated) {
    content = (
      <Banner tone="warning" class={styles.afloat}>
        The balancer is of another version now.{" "}
        <Button small onClick={() => window.location.reload()}>
          Reload the panel
        </Button>
      </Banner>
    );
  } else if (notice !== null) {
    content = (
      <Banner tone="good" class={styles.afloat}>
        {notice}
      </Banner>
    );
  }
  return (
    <div class={styles.notices} role="status" aria-live="polite">
      {content}
    </div>
  );
}
