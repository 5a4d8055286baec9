/** The dashboard as it is now, and whether we still hear of it. */

import { Store } from "../store/store";
import type { DashboardSnapshot, HistorySnapshot, Sample } from "./messages";
import type { Services } from "./services";

export type Connection = "connecting" | "up" | "down";

export class Live {
  readonly dashboard = new Store<DashboardSnapshot | null>(null);
  readonly history = new Store<HistorySnapshot | null>(null);
  readonly connection = new Store<Connection>("connecting");
  /** The balancer is of another version than this page. */
  readonly isOutdated = new Store(false);
  /** Told once the balancer is heard again; null when there is nothing to tell. */
  readonly notice = new Store<string | null>(null);

  private fetching = false;
  private wasDown = false;

  constructor(private readonly services: Services) {}

  start(): () => void {
    return this.services.followDashboard({
      onEvent: (event) => this.take(event),
      onUp: () => this.connection.set("up"),
      onDown: () => {
        this.wasDown = true;
        this.connection.set("down");
      },
    });
  }

  private take(event: DashboardSnapshot): void {
    const before = this.dashboard.value;
    if (before !== null && before.instance !== event.instance) {
      this.notice.set("The balancer was restarted; connected again.");
    } else if (before !== null && this.wasDown) {
      this.notice.set("Connected to the balancer again.");
    }
    this.wasDown = false;
    this.isOutdated.set(event.version !== this.services.config.version);
    this.dashboard.set(event);
    this.extendHistory(event);
  }

  private extendHistory(event: DashboardSnapshot): void {
    const history = this.history.value;
    const sample = event.sample;
    if (history === null || history.instance !== event.instance) {
      void this.fetchHistory();
    } else if (sample !== null) {
      const last = history.samples.at(-1)?.sequence ?? -1;
      if (sample.sequence === last + 1) this.history.set(appended(history, sample));
      else if (sample.sequence > last) void this.fetchHistory();
    }
  }

  private async fetchHistory(): Promise<void> {
    if (this.fetching) return;
    this.fetching = true;
    try {
      this.history.set(await this.services.history());
    } catch {
      // The next event asks again.
    } finally {
      this.fetching = false;
    }
  }
}

function appended(history: HistorySnapshot, sample: Sample): HistorySnapshot {
  return { ...history, samples: [...history.samples, sample].slice(-history.capacity) };
}
