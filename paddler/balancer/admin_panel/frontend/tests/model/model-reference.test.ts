import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BadReference,
  describeReference,
  formatReference,
  parseReference,
} from "../../src/model/model-reference";

const huggingFace = (repo_id: string, filename: string, revision = "main") => ({
  HuggingFace: { repo_id, filename, revision },
});

describe("what is typed or pasted is understood", () => {
  test.each([
    ["", "None"],
    ["  none ", "None"],
    ["hf:owner/repo/m.gguf", huggingFace("owner/repo", "m.gguf")],
    ["hf://owner/repo/sub/m.GGUF@v2", huggingFace("owner/repo", "sub/m.GGUF", "v2")],
    ["https://huggingface.co/o/r/blob/main/m.gguf", huggingFace("o/r", "m.gguf")],
    ["https://hf.co/o/r/resolve/v1/a/m.gguf?download=true", huggingFace("o/r", "a/m.gguf", "v1")],
    ["https://huggingface.co/o/r/blob/main/a%20b.gguf", huggingFace("o/r", "a b.gguf")],
    ["https://models.example/m.gguf", { Url: { url: "https://models.example/m.gguf" } }],
    ["agent:///models/m.gguf", { LocalToAgent: "/models/m.gguf" }],
    ["/models/m.gguf", { LocalToAgent: "/models/m.gguf" }],
  ])("%s", (typed, reference) => {
    expect(parseReference(typed)).toEqual(reference);
  });
});

describe("what cannot be understood is told how to write", () => {
  test.each([
    ["m.gguf", "Write hf:owner/repository/file.gguf"],
    ["hf:owner/repo", "Name the file too"],
    ["hf:owner/repo/m.gguf@", "Name the file too"],
    ["hf:owner/repo/m.bin", "The file has to be a .gguf file"],
    ["https://huggingface.co/owner/repo", "open one of its .gguf files"],
    ["https://", "This is not a whole URL"],
    ["agent://models/m.gguf", "with three slashes"],
    ["/", "Write the whole path"],
  ])("%s", (typed, message) => {
    expect(() => parseReference(typed)).toThrow(BadReference);
    expect(() => parseReference(typed)).toThrow(message);
  });

  test("an escape that is none", () => {
    const typed = "https://huggingface.co/o/r/blob/main/%E0%A4%A.gguf";
    expect(() => parseReference(typed)).toThrow(BadReference);
  });
});

test("what is formatted is understood as what it was", () => {
  const part = fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/);
  const file = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const references = fc.oneof(
    fc.constant("None" as const),
    fc
      .tuple(part, part, file, part)
      .map(([owner, name, path, revision]) =>
        huggingFace(`${owner}/${name}`, `${path}.gguf`, revision),
      ),
    file.map((path) => ({ LocalToAgent: `/${path}` })),
    file.map((path) => ({ Url: { url: `https://models.example/${path}` } })),
  );
  fc.assert(
    fc.property(references, (reference) => {
      expect(parseReference(formatReference(reference))).toEqual(reference);
    }),
  );
});

test("a reference is described by where its file comes from", () => {
  expect(describeReference("None")).toBe("No model.");
  expect(describeReference(huggingFace("o/r", "m.gguf", "v1"))).toBe(
    "Hugging Face: m.gguf of o/r at v1.",
  );
  expect(describeReference({ Url: { url: "https://x/m.gguf" } })).toContain("downloads");
  expect(describeReference({ LocalToAgent: "/m.gguf" })).toContain("own disk");
});
