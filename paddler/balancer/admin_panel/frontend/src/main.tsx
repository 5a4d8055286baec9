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
import { Live } from "./api/live";
import { Services } from "./api/services";
import { App } from "./shell/app";

const place = document.getElementById("panel");
if (place === null) throw new Error("the page has no place for the panel");

try {
  const services = new Services(await loadConfig());
  const live = new Live(services);
  live.start();
  render(<App services={services} live={live} />, place);
} catch (error) {
  render(<p role="alert">The panel could not start: {messageOf(error)}</p>, place);
}
