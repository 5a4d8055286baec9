/** Has an agent try the template that is being written, before it is applied. */

import { useEffect, useState } from "preact/hooks";
import { messageOf, ServiceError } from "../api/http";
import type { DesiredState } from "../api/messages";
import type { Services } from "../api/services";
import type { Draft } from "./draft";

export interface TemplateTrial {
  /** Why the template cannot be applied; null also while that is not known. */
  error: string | null;
  /** Something to consider, or why nothing was tried. */
  warning: string | null;
  /** A question as the template writes it. */
  preview: string | null;
  isRunning: boolean;
}

const NOTHING: TemplateTrial = { error: null, warning: null, preview: null, isRunning: false };

/** A pause in typing. */
const PAUSE_MS = 500;

export function useTemplateCheck(
  services: Services,
  draft: Draft,
  saved: DesiredState,
  hasAgents: boolean,
): TemplateTrial {
  const [tried, setTried] = useState<{ template: string; trial: TemplateTrial } | null>(null);
  const isEdited =
    draft.template !== (saved.chat_template_override?.content ?? "") ||
    draft.useTemplate !== saved.use_chat_template_override;
  const isWanted = hasAgents && draft.useTemplate && isEdited && draft.template.trim() !== "";

  useEffect(() => {
    if (!isWanted) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      services.checkTemplate(draft.template, stop.signal).then(
        (check) => setTried({ template: draft.template, trial: { ...check, isRunning: false } }),
        (error: unknown) => {
          if (stop.signal.aborted) return;
          const is = error instanceof ServiceError ? messageOf(error) : String(error);
          const warning = `The template could not be tried: ${is}`;
          setTried({ template: draft.template, trial: { ...NOTHING, warning } });
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [services, draft.template, isWanted]);

  if (!isWanted) return NOTHING;
  if (tried?.template === draft.template) return tried.trial;
  return { ...NOTHING, isRunning: true };
}
