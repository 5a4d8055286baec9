/** A request as something to paste into a terminal or a Python file. */

/**
 * The body comes as a here-document: as an argument it would be too long with
 * an image. Indented JSON has no line that ends it early.
 */
export function asCurl(url: string, request: unknown): string {
  return `curl --no-buffer '${url}' \\
  --header 'Content-Type: application/json' --data-binary @- <<'END_OF_REQUEST'
${JSON.stringify(request, null, 2)}
END_OF_REQUEST
`;
}

export function asPython(url: string, request: unknown): string {
  return `import json
import urllib.error
import urllib.request

request = ${pythonLiteral(request, 0)}

def tokens():
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(
                ${pythonText(url)},
                data=json.dumps(request).encode(),
                headers={"Content-Type": "application/json"},
            )
        )
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error}: {error.read().decode()}")
    for line in answer:
        item = json.loads(line)
        if "Error" in item:
            raise SystemExit(item["Error"]["error"]["description"])
        yield item["Response"]["response"]["GeneratedToken"]

for token in tokens():
    kind, content = next(iter(token.items()))
    if kind == "Done":
        print()
        print(content["usage"])
    elif isinstance(content, str) and kind.endswith("Token"):
        print(content, end="", flush=True)
    else:
        print(kind, content)
`;
}

function pythonLiteral(value: unknown, depth: number): string {
  const pad = "    ".repeat(depth + 1);
  const end = "    ".repeat(depth);
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const items = value.map((item) => `${pad}${pythonLiteral(item, depth + 1)},\n`);
    return `[\n${items.join("")}${end}]`;
  }
  const entries = Object.entries(value as Record<string, unknown>);
  if (entries.length === 0) return "{}";
  const items = entries.map(
    ([key, item]) => `${pad}${pythonText(key)}: ${pythonLiteral(item, depth + 1)},\n`,
  );
  return `{\n${items.join("")}${end}}`;
}

/** JSON's escapes are Python's too, but for code points beyond the BMP, which stay as they are. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}
