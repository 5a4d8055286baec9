/** One text field for every place a model can come from, and back. */

import type { Model } from "../api/messages";

export class BadReference extends Error {}

const HUGGING_FACE_HOSTS = new Set(["huggingface.co", "www.huggingface.co", "hf.co"]);

/** Reads what a person typed or pasted; throws BadReference with what to do. */
export function parseReference(text: string): Model {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.toLowerCase() === "none") return "None";
  if (trimmed.startsWith("hf:")) return parseShorthand(trimmed.slice(3).replace(/^\/\//, ""));
  if (trimmed.startsWith("agent://")) return local(trimmed.slice("agent://".length));
  if (trimmed.startsWith("/")) return local(trimmed);
  if (/^https?:\/\//i.test(trimmed)) return parseUrl(trimmed);
  throw new BadReference(
    "Write hf:owner/repository/file.gguf, a link to a file on Hugging Face, " +
      "an http(s) URL, or agent:///path/on/the/agent.gguf",
  );
}

export function formatReference(reference: Model): string {
  if (reference === "None") return "";
  if ("Url" in reference) return reference.Url.url;
  if ("LocalToAgent" in reference) return `agent://${reference.LocalToAgent}`;
  const { repo_id, filename, revision } = reference.HuggingFace;
  return `hf:${repo_id}/${filename}${revision === "main" ? "" : `@${revision}`}`;
}

/** What the reference was understood as, in words. */
export function describeReference(reference: Model): string {
  if (reference === "None") return "No model.";
  if ("Url" in reference) return "A file that each agent downloads.";
  if ("LocalToAgent" in reference) return "A file on each agent's own disk.";
  const { repo_id, filename, revision } = reference.HuggingFace;
  return `Hugging Face: ${filename} of ${repo_id} at ${revision}.`;
}

function local(path: string): Model {
  if (!path.startsWith("/") || path.length < 2) {
    throw new BadReference("Write the whole path, with three slashes: agent:///models/model.gguf");
  }
  return { LocalToAgent: path };
}

function parseShorthand(text: string): Model {
  const at = text.lastIndexOf("@");
  const path = at > 0 ? text.slice(0, at) : text;
  const revision = at > 0 ? text.slice(at + 1) : "main";
  return huggingFace(path.split("/"), revision);
}

function huggingFace(parts: string[], revision: string): Model {
  const [owner, repository, ...file] = parts;
  const filename = file.join("/");
  if (!owner || !repository || !filename || !revision) {
    throw new BadReference("Name the file too: hf:owner/repository/file.gguf");
  }
  if (!filename.toLowerCase().endsWith(".gguf")) {
    throw new BadReference("The file has to be a .gguf file");
  }
  return { HuggingFace: { repo_id: `${owner}/${repository}`, filename, revision } };
}

function parseUrl(text: string): Model {
  if (!URL.canParse(text)) throw new BadReference("This is not a whole URL");
  const url = new URL(text);
  if (!HUGGING_FACE_HOSTS.has(url.hostname)) return { Url: { url: text } };
  const parts = url.pathname.split("/").filter(Boolean).map(unescaped);
  const [owner = "", repository = "", kind, revision = "main", ...file] = parts;
  if (kind !== "blob" && kind !== "resolve") {
    throw new BadReference(
      "This is a link to a repository: open one of its .gguf files and copy that link",
    );
  }
  return huggingFace([owner, repository, ...file], revision);
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new BadReference(`Something is wrong with the % in ${part}`, { cause: error });
  }
}
