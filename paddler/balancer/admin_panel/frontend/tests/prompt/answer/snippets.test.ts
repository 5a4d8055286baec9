import fc from "fast-check";
import { expect, test } from "vitest";
import { asCurl, asPython } from "../../../src/prompt/answer/snippets";

const URL_OF_SERVICE = "http://box:8061/api/v1/continue_from_raw_prompt";

/** What a shell gives the program: the lines between the two marks, without the last end. */
function hereDocument(command: string): string {
  const [, document] = /<<'END_OF_REQUEST'\n(.*?)\nEND_OF_REQUEST\n$/s.exec(command) ?? [];
  return document ?? "";
}

test("curl is given the request, whatever is in it", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (request) => {
      const command = asCurl(URL_OF_SERVICE, request);
      const lines = hereDocument(command).split("\n");
      expect(lines).not.toContain("END_OF_REQUEST");
      expect(JSON.parse(lines.join("\n"))).toEqual(JSON.parse(JSON.stringify(request)));
    }),
  );
});

test("curl prints tokens as they come, from the service that was asked", () => {
  const [first] = asCurl(URL_OF_SERVICE, {}).split("\n");
  expect(first).toBe(`curl --no-buffer '${URL_OF_SERVICE}' \\`);
});

test("Python has words of its own for what JSON knows", () => {
  const request = { yes: true, no: false, none: null, n: 1.5, empty: {}, list: [1, []], s: 'a"\n' };
  const [, literal] = /request = (\{.*?\n\})\n/s.exec(asPython(URL_OF_SERVICE, request)) ?? [];
  expect(literal).toBe(`{
    "yes": True,
    "no": False,
    "none": None,
    "n": 1.5,
    "empty": {},
    "list": [
        1,
        [],
    ],
    "s": "a\\"\\n",
}`);
});
