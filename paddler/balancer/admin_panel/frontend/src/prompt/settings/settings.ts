/** What requests are sent with; kept in the browser. Numbers are texts as typed; empty: the fleet's. */

import { messageOf } from "../../api/http";
import type { ContinueFromRawPrompt, Grammar, Sampling, Tool } from "../../api/messages";
import type { BrowserStorage } from "../../store/browser-storage";
import type { Store } from "../../store/store";

const GRAMMAR_KINDS = ["none", "json_schema", "gbnf"] as const;

export interface Settings {
  systemPrompt: string;
  enableThinking: boolean;
  maxTokens: string;
  tools: string;
  grammarKind: (typeof GRAMMAR_KINDS)[number];
  grammar: string;
  grammarRoot: string;
  stop: string;
  sampling: Record<SamplingName, string>;
}

export const SAMPLING = [
  ["temperature", "Temperature"],
  ["top_k", "Top k"],
  ["top_p", "Top p"],
  ["min_p", "Min p"],
  ["seed", "Seed"],
  ["penalty_repeat", "Repeat penalty"],
  ["penalty_presence", "Presence penalty"],
  ["penalty_frequency", "Frequency penalty"],
] as const satisfies readonly (readonly [keyof Sampling, string])[];

/** What every kind of generation may carry. */
type GenerationExtras = Omit<ContinueFromRawPrompt, "raw_prompt">;

export type SamplingName = (typeof SAMPLING)[number][0];

export const DEFAULT_SETTINGS: Settings = {
  systemPrompt: "",
  enableThinking: false,
  maxTokens: "512",
  tools: "",
  grammarKind: "none",
  grammar: "",
  grammarRoot: "root",
  stop: "",
  sampling: {
    temperature: "",
    top_k: "",
    top_p: "",
    min_p: "",
    seed: "",
    penalty_repeat: "",
    penalty_presence: "",
    penalty_frequency: "",
  },
};

export function openSettings(storage: BrowserStorage): Store<Settings> {
  return storage.shared("paddler.prompt.settings", DEFAULT_SETTINGS, repaired);
}

/** Settings of a panel that had other ones: those that fit are taken. */
function repaired(found: unknown): Settings {
  const { sampling, ...others } = (found ?? {}) as Partial<Settings>;
  const { grammarKind, ...taken } = fitting(others, DEFAULT_SETTINGS);
  return {
    ...taken,
    grammarKind: GRAMMAR_KINDS.includes(grammarKind) ? grammarKind : "none",
    sampling: fitting(sampling ?? {}, DEFAULT_SETTINGS.sampling),
  };
}

function fitting<T extends object>(found: object, defaults: T): T {
  const known = Object.entries(found).filter(
    ([name, value]) => typeof value === typeof (defaults as Record<string, unknown>)[name],
  );
  return { ...defaults, ...Object.fromEntries(known) };
}

export class BadSettings extends Error {}

export function numberProblem(typed: string): string | null {
  return typed.trim() === "" || Number.isFinite(Number(typed)) ? null : "Write a number.";
}

export function toolsProblem(typed: string): string | null {
  try {
    parseTools(typed);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** The tools as an array, empty if there are none; what is in them the service judges. */
export function parseTools(typed: string): Tool[] {
  if (typed.trim() === "") return [];
  let tools: unknown;
  try {
    tools = JSON.parse(typed);
  } catch (error) {
    throw new BadSettings(`Tools are not valid JSON: ${messageOf(error)}`, { cause: error });
  }
  if (!Array.isArray(tools)) throw new BadSettings("Tools have to be a JSON array.");
  return tools as Tool[];
}

/** What every generation carries; throws BadSettings. */
export function extrasOf(chosen: Settings): GenerationExtras {
  const maxTokens = Number(chosen.maxTokens);
  if (!Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new BadSettings("Max tokens has to be a whole number from 1.");
  }
  const extras: GenerationExtras = { max_tokens: maxTokens, include_timings: true };
  const sampling: Sampling = {};
  for (const [name, label] of SAMPLING) {
    const typed = chosen.sampling[name];
    if (numberProblem(typed) !== null) throw new BadSettings(`${label} has to be a number.`);
    if (typed.trim() !== "") sampling[name] = Number(typed);
  }
  if (Object.keys(sampling).length > 0) extras.sampling = sampling;
  const stop = chosen.stop.split("\n").filter((line) => line !== "");
  if (stop.length > 0) extras.stop = stop;
  const grammar = grammarOf(chosen);
  if (grammar !== null) extras.grammar = grammar;
  return extras;
}

function grammarOf(chosen: Settings): Grammar | null {
  if (chosen.grammarKind === "none" || chosen.grammar.trim() === "") return null;
  if (chosen.grammarKind === "gbnf") {
    return { type: "gbnf", grammar: chosen.grammar, root: chosen.grammarRoot || "root" };
  }
  return { type: "json_schema", schema: chosen.grammar };
}
