import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/** One thing that an installation does to the machine. */
export type Change =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly contents: string; readonly mode: number }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  /** Replaces the contents of a file that is there. */
  | { readonly kind: "edit"; readonly path: string; readonly contents: string; readonly previous: string };

/** The directories above `path` that are not there yet, the outermost first. */
export function missingDirectories(path: string): readonly string[] {
  const parent = dirname(path);
  return existsSync(parent) ? [] : [...missingDirectories(parent), parent];
}

export function apply(change: Change): void {
  switch (change.kind) {
    case "directory":
      mkdirSync(change.path);
      break;
    case "file":
      writeFileSync(change.path, change.contents, { flag: "wx", mode: change.mode });
      break;
    case "link":
      symlinkSync(change.target, change.path);
      break;
    case "edit":
      replace(change.path, change.contents);
      break;
  }
}

/** Takes back what {@link apply} has just done. */
export function revert(change: Change): void {
  if (change.kind === "edit") replace(change.path, change.previous);
  else if (change.kind === "directory") rmdirSync(change.path);
  else rmSync(change.path);
}

/** Replaces a file in one step, with its mode and owner. */
export function replace(path: string, contents: string): void {
  const { mode } = statSync(path);
  const temporary = `${path}.${randomBytes(4).toString("hex")}`;
  writeFileSync(temporary, contents, { mode });
  renameSync(temporary, path);
}

export function describe(change: Change): string {
  switch (change.kind) {
    case "directory":
      return `make directory  ${change.path}`;
    case "file":
      return `write           ${change.path}`;
    case "link":
      return `link            ${change.path} -> ${change.target}`;
    case "edit":
      return `add tables to   ${change.path}`;
  }
}

export function sha256(contents: string): string {
  return createHash("sha256").update(contents).digest("hex");
}

/** Removes a file that says what was written; says why not otherwise. */
export function removeUnchanged({
  path,
  sha256: wanted,
}: {
  path: string;
  sha256: string;
}): string | undefined {
  if (!existsSync(path)) return undefined;
  if (sha256(readFileSync(path, "utf8")) !== wanted) return `${path} has been changed since, and stays`;
  rmSync(path);
  return undefined;
}

/** Removes a link that still leads where it was made to; says why not otherwise. */
export function removeLink({ path, target }: { path: string; target: string }): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isSymbolicLink() || readlinkSync(path) !== target) return `${path} is another one now, and stays`;
  rmSync(path);
  return undefined;
}

/** Removes a directory that is empty; says why not otherwise. */
export function removeDirectory(path: string): string | undefined {
  try {
    rmdirSync(path);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    if (code === "ENOTEMPTY") return `${path} is not empty, and stays`;
    throw error;
  }
}
