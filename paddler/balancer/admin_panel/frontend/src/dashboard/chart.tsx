/** uPlot in a Preact component: sizes itself, follows the theme, takes new data in place. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Store } from "../store/store";
import type { Theme } from "../ui/theme";
import * as styles from "./chart.module.css";

export interface Series {
  label: string;
  /** A token of `ui/tokens.css`. */
  color: "--chart-1" | "--chart-2";
  dots?: boolean;
}

interface Props {
  title: string;
  series: readonly Series[];
  data: (number | null)[][];
  format: (value: number) => string;
  /** The value axis reaches at least this far, so that noise stays small. */
  atLeast: number;
  theme: Store<Theme>;
}

const HEIGHT = 150;
const WINDOW_S = 15 * 60;

export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const { theme } = props;

  useEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        options(latest.current, box),
        latest.current.data as uPlot.AlignedData,
        box,
      );
    };
    draw();
    const resize = new ResizeObserver(() => {
      if (box.clientWidth > 0) plot.current?.setSize({ width: box.clientWidth, height: HEIGHT });
    });
    resize.observe(box);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const unwatch = theme.watch(draw);
    return () => {
      unwatch();
      dark.removeEventListener("change", draw);
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [theme]);

  useEffect(() => {
    plot.current?.setData(props.data as uPlot.AlignedData);
  }, [props.data]);

  return <div class={styles.chart} ref={place} role="img" aria-label={`Chart: ${props.title}`} />;
}

function options(props: Props, box: HTMLElement): uPlot.Options {
  const color = (name: string) => colorOf(box, name);
  const axis = {
    stroke: color("--text-muted"),
    grid: { stroke: color("--line-soft"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: Math.max(box.clientWidth, 100),
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 16, 0, 0],
    scales: {
      x: { time: true, range: (_plot, _min, max) => timeRange(max) },
      y: { range: (_plot, _min, max) => [0, Math.max(props.atLeast, (max ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, size: 26, space: 70, values: (_plot, ticks) => ticks.map(clock) },
      { ...axis, size: 54, space: 36, values: (_plot, ticks) => ticks.map(props.format) },
    ],
    series: [
      {},
      ...props.series.map((series) => ({
        label: series.label,
        stroke: color(series.color),
        width: 1.75,
        spanGaps: false,
        points: { show: series.dots === true, size: 4, fill: color(series.color) },
      })),
    ],
  };
}

/** What a token is in the theme of now; a canvas can be told nothing else. */
function colorOf(box: HTMLElement, token: string): string {
  box.style.color = `var(${token})`;
  const { color } = getComputedStyle(box);
  box.style.removeProperty("color");
  return color;
}

function timeRange(max: number | null): [number, number] {
  const end = max ?? Date.now() / 1000;
  return [end - WINDOW_S, end];
}

function clock(seconds: number): string {
  const at = new Date(seconds * 1000);
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}
