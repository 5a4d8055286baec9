/** An agent's condition in two words and a tone. */

import type { AgentView } from "../api/messages";
import type { Tone } from "../ui/pill";

interface StatusText {
  text: string;
  tone: Tone;
}

export function statusOf(agent: AgentView): StatusText {
  if (agent.download !== null) {
    return { text: agent.model === null ? "loading" : "swapping", tone: "busy" };
  }
  switch (agent.status) {
    case "Applied":
      if (agent.stage === "kept_back") return { text: "kept back", tone: "bad" };
      if (agent.stage === "applying") return { text: "swapping", tone: "busy" };
      if (agent.model === null) return { text: "no model", tone: "idle" };
      return { text: "ready", tone: "good" };
    case "AttemptedAndRetrying":
      return { text: "retrying", tone: "bad" };
    case "Stuck":
      return { text: "stuck", tone: "bad" };
    case "AttemptedAndNotAppliable":
      return { text: "cannot apply", tone: "bad" };
    case "Fresh":
      return { text: agent.stage === "applying" ? "starting" : "waiting", tone: "busy" };
  }
}
