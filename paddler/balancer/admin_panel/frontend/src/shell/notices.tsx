import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../store/use-store";

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
