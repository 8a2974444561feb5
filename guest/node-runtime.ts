import { execFile } from "node:child_process";
import { cp, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";

/** Names below the runtime's folder. */
export const NodeRuntime = { loader: "ld.so", libraries: "lib", node: "node" } as const;

/** What a dynamically linked program needs to run. */
export interface SharedObjects {
  /** Path of the dynamic loader. */
  readonly loader: string;
  /** Paths of all libraries, direct and indirect. */
  readonly libraries: readonly string[];
}

/**
 * Copies a Node.js executable of this machine to `target` with its loader and every library that it and `addons` (native
 * modules) link to, so that the same binary runs on another root file system.
 */
export async function copyNodeRuntime(
  target: string,
  executable: string,
  addons: readonly string[],
): Promise<void> {
  const objects = await sharedObjects(executable);
  const ofAddons = await Promise.all(addons.map(sharedObjects));
  const libraries = new Set([objects, ...ofAddons].flatMap(({ libraries }) => libraries));
  const folder = join(target, NodeRuntime.libraries);
  await mkdir(folder, { recursive: true });
  await copyFollowing(executable, join(target, NodeRuntime.node));
  await copyFollowing(objects.loader, join(target, NodeRuntime.loader));
  for (const library of libraries) await copyFollowing(library, join(folder, basename(library)));
}

async function sharedObjects(file: string): Promise<SharedObjects> {
  const { stdout } = await promisify(execFile)("ldd", [file], { env: { ...process.env, LC_ALL: "C" } });
  return parseLdd(stdout);
}

/**
 * Parses what ldd(1) prints: `NAME => PATH (ADDRESS)` for a library, `PATH (ADDRESS)` for the loader.
 *
 * @throws Error when a library was not found or there is no loader, as for a static program.
 */
export function parseLdd(text: string): SharedObjects {
  const libraries: string[] = [];
  let loader: string | undefined;
  for (const line of text.split("\n")) {
    const [, name, target] = /^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
    const interpreter = /^\s*(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1];
    if (target === "not found") throw new Error(`ldd: library ${name} was not found`);
    if (name !== undefined && target !== undefined) {
      if (name.startsWith("/")) loader = target;
      else libraries.push(target);
    } else if (interpreter !== undefined) loader = interpreter;
  }
  if (loader === undefined) throw new Error("ldd: the program has no dynamic loader");
  return { loader, libraries };
}

function copyFollowing(source: string, target: string): Promise<void> {
  return cp(source, target, { dereference: true });
}
