import "./ui/tokens.css";
import "./ui/base.css";

// biome-ignore lint/suspicious/noDeprecatedImports: only its third parameter is deprecated
import { render } from "preact";
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
