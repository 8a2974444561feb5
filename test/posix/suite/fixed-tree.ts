import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Names in a fixed tree. */
export const FIXED = {
  text: "text",
  link: "link",
  directory: "directory",
  script: "script",
  pattern: "pattern",
  large: "large",
} as const;

export const TEXT = "what does not change\n";
/** Ends within a page, in the third range of a DAX window. */
export const PATTERN_BYTES = 4 * MiB + 12_345;
/** All holes but for {@link LARGE_MARKS}, the last of which is its end. */
export const LARGE_BYTES = 5 * GiB + 6;
export const MARK = "marked";
export const LARGE_MARKS = [0, 2 * GiB - 3, 4 * GiB - 3, 4 * GiB + 2 * MiB, 5 * GiB];

/** Each group of four bytes tells where in the file it is. */
export function pattern(): Buffer {
  const words = new Uint32Array(Math.ceil(PATTERN_BYTES / 4));
  for (let index = 0; index < words.length; index++) words[index] = index * 4;
  return Buffer.from(words.buffer, 0, PATTERN_BYTES);
}

/** Fills the directory `root`, on the host, with what the checks of a fixed tree look at. */
export function makeFixedTree(root: string): void {
  const at = (name: string) => join(root, name);
  writeFileSync(at(FIXED.text), TEXT);
  symlinkSync(FIXED.text, at(FIXED.link));
  mkdirSync(at(FIXED.directory));
  writeFileSync(at(FIXED.script), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
  writeFileSync(at(FIXED.pattern), pattern());
  const fd = openSync(at(FIXED.large), "wx");
  for (const offset of LARGE_MARKS) writeSync(fd, MARK, offset);
  closeSync(fd);
}
