// @vitest-environment happy-dom

import { expect, test } from "vitest";
import { BadAttachment, readImages } from "../../../src/prompt/chat/attachments";

const image = (name: string, content: string) => new File([content], name, { type: "image/png" });

test("images become data URIs, in their order", async () => {
  expect(await readImages([image("a.png", "a"), image("b.png", "b")])).toEqual([
    "data:image/png;base64,YQ==",
    "data:image/png;base64,Yg==",
  ]);
});

test("what is no image is refused, and nothing attached", async () => {
  const files = [image("a.png", "a"), new File(["text"], "notes.txt", { type: "text/plain" })];
  await expect(readImages(files)).rejects.toThrow(BadAttachment);
  await expect(readImages(files)).rejects.toThrow("notes.txt is no image.");
});

test("a very large image is refused", async () => {
  const large = image("large.png", "");
  Object.defineProperty(large, "size", { value: 20 * 1024 * 1024 + 1 });
  await expect(readImages([large])).rejects.toThrow("large.png is larger than 20 MB.");
});
