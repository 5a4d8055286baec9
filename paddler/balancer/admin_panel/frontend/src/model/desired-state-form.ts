/** What the form holds, and what it is compared with; kept while another page is looked at. */

import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { Store } from "../api/store";
import type { DesiredState } from "../api/types";
import { type Draft, draftFrom } from "./draft";

export interface Editing {
  /** The state that the fleet should serve, as last heard. */
  saved: DesiredState;
  draft: Draft;
  /** Something was changed here, and somebody else changed the state meanwhile. */
  isOvertaken: boolean;
}

export const editing = new Store<Editing | null>(null);
export const problem = new Store<string | null>(null);

export class StateWasChanged extends Error {
  constructor() {
    super(
      "Somebody else changed the state meanwhile. The changes are now shown against theirs: " +
        "look again, then apply.",
    );
  }
}

/** Asks for the state; what was typed stays, an untouched form follows. */
export async function refresh(services: Services): Promise<void> {
  try {
    adopt(await services.desiredState());
    problem.set(null);
  } catch (error) {
    problem.set(messageOf(error));
  }
}

export function change(draft: Draft): void {
  editing.update((now) => now && { ...now, draft });
}

export function discard(): void {
  editing.update((now) => now && fresh(now.saved));
}

/** Applies `state`, unless somebody else was faster: then throws StateWasChanged. */
export async function apply(services: Services, state: DesiredState): Promise<void> {
  const before = editing.value?.saved;
  const present = await services.desiredState();
  if (!isSame(present, before)) {
    adopt(present);
    throw new StateWasChanged();
  }
  await services.putDesiredState(state);
  // As the service has it: numbers may have lost digits on the way.
  editing.set(fresh(await services.desiredState()));
}

function adopt(state: DesiredState): void {
  editing.update((now) => {
    if (now === null || !isTouched(now)) return fresh(state);
    const isOvertaken = now.isOvertaken || !isSame(now.saved, state);
    return { ...now, saved: state, isOvertaken };
  });
}

function fresh(saved: DesiredState): Editing {
  return { saved, draft: draftFrom(saved), isOvertaken: false };
}

function isTouched({ saved, draft }: Editing): boolean {
  return !isSame(draftFrom(saved), draft);
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
