/** Images that are attached to a message. */

import { messageOf } from "../../api/http";

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

export class BadAttachment extends Error {}

/** The files as data URIs; throws BadAttachment for the first that cannot be attached. */
export async function readImages(files: readonly File[]): Promise<string[]> {
  for (const file of files) {
    if (!file.type.startsWith("image/")) throw new BadAttachment(`${file.name} is no image.`);
    if (file.size > MAX_IMAGE_BYTES) {
      throw new BadAttachment(`${file.name} is larger than 20 MB.`);
    }
  }
  return await Promise.all(files.map(dataUri));
}

function dataUri(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => {
      const reason = messageOf(reader.error ?? "the file cannot be read");
      reject(new BadAttachment(`${file.name}: ${reason}`));
    };
    reader.readAsDataURL(file);
  });
}
