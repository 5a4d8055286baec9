/** The last minutes, from the balancer's own history. */

import { useMemo } from "preact/hooks";
import type { Live } from "../api/live";
import type { Sample } from "../api/messages";
import type { Store } from "../store/store";
import { useStore } from "../store/use-store";
import { Card } from "../ui/card";
import { classes } from "../ui/classes";
import { milliseconds, percent, rate } from "../ui/format";
import { Head } from "../ui/page";
import type { Theme } from "../ui/theme";
import { Chart, type Series } from "./chart";
import * as styles from "./charts.module.css";

interface Definition {
  title: string;
  series: readonly (Series & { of: (sample: Sample) => number | null })[];
  format: (value: number) => string;
  atLeast: number;
}

const SWATCHES = { "--chart-1": styles.first, "--chart-2": styles.second };

const CHARTS: readonly Definition[] = [
  {
    title: "Requests",
    series: [
      { label: "running", color: "--chart-1", of: (sample) => sample.processing },
      { label: "buffered", color: "--chart-2", of: (sample) => sample.buffered },
    ],
    format: rate,
    atLeast: 4,
  },
  {
    title: "Time to first token",
    series: [{ label: "median", color: "--chart-1", of: (sample) => sample.ttft_ms, dots: true }],
    format: milliseconds,
    atLeast: 100,
  },
  {
    title: "Generated tokens",
    series: [{ label: "per second", color: "--chart-1", of: (sample) => sample.tokens_per_s }],
    format: rate,
    atLeast: 10,
  },
  {
    title: "Prompt tokens from cache",
    series: [
      { label: "share", color: "--chart-1", of: (sample) => sample.cached_share, dots: true },
    ],
    format: percent,
    atLeast: 1,
  },
];

export function Charts({ live, theme }: { live: Live; theme: Store<Theme> }) {
  const history = useStore(live.history);
  const samples = history?.samples ?? [];
  return (
    <section aria-labelledby="charts-title">
      <Head tall>
        <h2 id="charts-title">Last 15 minutes</h2>
      </Head>
      <div class={styles.charts}>
        {CHARTS.map((definition) => (
          <ChartCard
            key={definition.title}
            definition={definition}
            samples={samples}
            theme={theme}
          />
        ))}
      </div>
    </section>
  );
}

function ChartCard({
  definition,
  samples,
  theme,
}: {
  definition: Definition;
  samples: Sample[];
  theme: Store<Theme>;
}) {
  const data = useMemo(
    () => [
      samples.map((sample) => sample.at_ms / 1000),
      ...definition.series.map((series) => samples.map(series.of)),
    ],
    [samples, definition],
  );
  return (
    <Card tag="figure" class={styles.card}>
      <figcaption>
        <h3>{definition.title}</h3>
        <ul class={styles.legend}>
          {definition.series.map((series, index) => (
            <li key={series.label}>
              <span class={classes(styles.swatch, SWATCHES[series.color])} aria-hidden="true" />
              {series.label} <strong>{lastOf(data[index + 1], definition.format)}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <Chart
        title={definition.title}
        series={definition.series}
        data={data}
        format={definition.format}
        atLeast={definition.atLeast}
        theme={theme}
      />
    </Card>
  );
}

function lastOf(
  values: readonly (number | null)[] | undefined,
  format: (value: number) => string,
): string {
  const last = values?.findLast((value) => value !== null);
  return last === undefined || last === null ? "–" : format(last);
}
