import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const FILE_BYTES = 8 << 20;
export const LIST_ENTRIES = 1000;

/** The path of a name in the directory that is so many directories below the share, or of that directory. */
export function pathAt(depth: number, ...name: string[]): string {
  return [...Array.from({ length: depth }, (_, index) => `d${index + 1}`), ...name].join("/");
}

/** Makes the tree that rows work on: at each depth a file to read, one to write, and a directory to list. */
export function fillShare(share: string, depths: readonly number[]): void {
  for (const depth of depths) {
    const directory = join(share, pathAt(depth));
    mkdirSync(join(directory, "list"), { recursive: true });
    writeFileSync(join(directory, "file"), Buffer.alloc(FILE_BYTES, "r"));
    writeFileSync(join(directory, "written"), Buffer.alloc(FILE_BYTES, "w"));
    for (let index = 0; index < LIST_ENTRIES; index++) {
      writeFileSync(join(directory, "list", `entry-${String(index).padStart(4, "0")}`), "");
    }
  }
}
