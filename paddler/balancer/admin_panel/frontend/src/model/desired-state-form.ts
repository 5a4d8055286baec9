import { messageOf } from "../api/http";
import type { DesiredState } from "../api/messages";
import type { Services } from "../api/services";
import { Store } from "../store/store";
import { type Draft, draftFrom } from "./draft";

export interface Editing {
  /** The state that the fleet should serve, as last heard. */
  saved: DesiredState;
  draft: Draft;
  /** Something was changed here, and somebody else changed the state meanwhile. */
  isOvertaken: boolean;
}

export class StateWasChanged extends Error {
  constructor() {
    super(
      "Somebody else changed the state meanwhile. The changes are now shown against theirs: " +
        "look again, then apply.",
    );
  }
}

/** What the form holds, and what it is compared with; kept while another page is looked at. */
export class DesiredStateForm {
  /** Null until the state was heard. */
  readonly editing = new Store<Editing | null>(null);
  /** Why the state is not known, or not known anew. */
  readonly problem = new Store<string | null>(null);

  constructor(private readonly services: Services) {}

  /** Asks for the state; what was typed stays, an untouched form follows. */
  async refresh(): Promise<void> {
    try {
      this.adopt(await this.services.desiredState());
      this.problem.set(null);
    } catch (error) {
      this.problem.set(messageOf(error));
    }
  }

  change(draft: Draft): void {
    this.editing.update((now) => now && { ...now, draft });
  }

  discard(): void {
    this.editing.update((now) => now && fresh(now.saved));
  }

  /** Applies `state`, unless somebody else was faster: then throws StateWasChanged. */
  async apply(state: DesiredState): Promise<void> {
    const before = this.editing.value?.saved;
    const present = await this.services.desiredState();
    if (!isSame(present, before)) {
      this.adopt(present);
      throw new StateWasChanged();
    }
    await this.services.putDesiredState(state);
    // As the service has it: numbers may have lost digits on the way.
    this.editing.set(fresh(await this.services.desiredState()));
  }

  private adopt(state: DesiredState): void {
    this.editing.update((now) => {
      if (now === null || !isTouched(now)) return fresh(state);
      const isOvertaken = now.isOvertaken || !isSame(now.saved, state);
      return { ...now, saved: state, isOvertaken };
    });
  }
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
