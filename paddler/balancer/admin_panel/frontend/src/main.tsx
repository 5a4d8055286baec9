// biome-ignore lint/suspicious/noDeprecatedImports: only its third parameter is deprecated
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/controls.css";
import "./styles/dashboard.css";
import "./styles/model.css";
import "./styles/prompt.css";
import { loadConfig } from "./api/config";
import { messageOf } from "./api/http";
import { App } from "./shell/app";
import { openPanel } from "./shell/panel";

const place = document.getElementById("panel");
if (place === null) throw new Error("the page has no place for the panel");

try {
  const panel = openPanel(await loadConfig());
  panel.live.start();
  render(<App panel={panel} />, place);
} catch (error) {
  render(<p role="alert">The panel could not start: {messageOf(error)}</p>, place);
}
