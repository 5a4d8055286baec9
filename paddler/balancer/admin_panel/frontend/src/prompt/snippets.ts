/** A request as something to paste into a terminal or a Python file. */

export function asCurl(url: string, request: unknown): string {
  const body = JSON.stringify(request, null, 2).replaceAll("'", `'"'"'`);
  return `curl --no-buffer '${url}' \\\n  --header 'Content-Type: application/json' \\\n  --data '${body}'`;
}

export function asPython(url: string, request: unknown): string {
  return `import json
import urllib.request

request = ${pythonLiteral(request, 0)}

answer = urllib.request.urlopen(
    urllib.request.Request(
        ${pythonText(url)},
        data=json.dumps(request).encode(),
        headers={"Content-Type": "application/json"},
    )
)
for line in answer:
    item = json.loads(line)
    if "Error" in item:
        raise SystemExit(item["Error"]["error"]["description"])
    token = item["Response"]["response"]["GeneratedToken"]
    print(token.get("ContentToken", ""), end="", flush=True)
print()
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
