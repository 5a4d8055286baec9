/** What the fleet serves: the form, what it would change, and how the change goes. */

import { useEffect } from "preact/hooks";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { Rollout } from "../fleet/rollout";
import { useStore } from "../store/use-store";
import { Banner } from "../ui/banner";
import { Page } from "../ui/page";
import { Muted } from "../ui/text";
import type { DesiredStateForm } from "./desired-state-form";
import { FleetProgress } from "./fleet-progress";
import { LoadedModel } from "./loaded-model";
import * as styles from "./page.module.css";
import { StateForm } from "./state-form";

export function ModelPage({
  live,
  services,
  form,
}: {
  live: Live;
  services: Services;
  form: DesiredStateForm;
}) {
  const dashboard = useStore(live.dashboard);
  const now = useStore(form.editing);
  const failure = useStore(form.problem);
  const revision = dashboard === null ? null : `${dashboard.instance} ${dashboard.state_revision}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies(revision): somebody put another state
  useEffect(() => {
    void form.refresh();
  }, [revision, form]);

  return (
    <Page>
      <h1>Model</h1>
      {failure !== null && (
        <Banner tone="bad" role="alert">
          {failure}
        </Banner>
      )}
      <div class={styles.columns}>
        {now === null ? (
          <Muted>Asking what the fleet should serve…</Muted>
        ) : (
          <StateForm form={form} now={now} live={live} services={services} />
        )}
        <aside class={styles.side} aria-label="The fleet now">
          {dashboard !== null && (
            <>
              <Rollout dashboard={dashboard} />
              <FleetProgress agents={dashboard.agents} />
              <LoadedModel
                agents={dashboard.agents}
                services={services}
                onUseTemplate={(template) =>
                  now !== null && form.change({ ...now.draft, template, useTemplate: true })
                }
              />
            </>
          )}
        </aside>
      </div>
    </Page>
  );
}
