import { useEffect, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { AgentModelDetails, AgentView } from "../api/messages";
import type { Services } from "../api/services";

interface Asked {
  details: AgentModelDetails | null;
  problem: string | null;
}

/** What the agent tells of the model it serves, asked anew whenever it serves another. */
export function useModelDetails(services: Services, agent: AgentView | undefined): Asked {
  const [asked, setAsked] = useState<Asked>({ details: null, problem: null });
  const id = agent?.id;
  const served = JSON.stringify(agent?.model ?? null);
  // biome-ignore lint/correctness/useExhaustiveDependencies(served): another model is asked about anew
  useEffect(() => {
    if (id === undefined) {
      setAsked({ details: null, problem: null });
      return undefined;
    }
    let isCurrent = true;
    services.agentModel(id).then(
      (details) => isCurrent && setAsked({ details, problem: null }),
      (error: unknown) => {
        if (isCurrent) setAsked(({ details }) => ({ details, problem: messageOf(error) }));
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [services, id, served]);
  return asked;
}
