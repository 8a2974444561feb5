import { existsSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "../setup-error.js";

const LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const LOADERS = [
  "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
  "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
  "usr/lib64/ld-linux-x86-64.so.2",
];

/** How a program of an unpacked tree is started with the C library of that tree rather than the machine's. */
export interface ForeignProgram {
  /** The dynamic loader of the tree. */
  readonly loader: string;
  /** Colon-separated library folders of the tree. */
  readonly libraryPath: string;
  /** The program itself. */
  readonly program: string;
}

/**
 * Finds what it takes to start `program` of the Debian packages unpacked in `tree`.
 *
 * @throws SetupError when the packages do not have it.
 */
export function foreignProgram(tree: string, program: string): ForeignProgram {
  const loader = LOADERS.map((path) => join(tree, path)).find(existsSync);
  const file = join(tree, program);
  if (loader === undefined || !existsSync(file)) {
    throw new SetupError({
      found: `Debian's packages hold no ${loader === undefined ? "dynamic loader" : program}`,
      needed: `both, below ${tree}`,
    });
  }
  const libraryPath = LIBRARY_FOLDERS.map((path) => join(tree, path))
    .filter(existsSync)
    .join(":");
  return { loader, libraryPath, program: file };
}

/** The command line that starts it; `preload` is a library loaded before the others. */
export function commandOf({ loader, libraryPath, program }: ForeignProgram, preload?: string): string[] {
  return [
    loader,
    ...(preload === undefined ? [] : ["--preload", preload]),
    "--library-path",
    libraryPath,
    program,
  ];
}
