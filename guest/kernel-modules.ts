import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";

const MODULE_FILE = /([^/]+)\.ko(\.xz)?$/;

/**
 * Copies the modules of `groups` (by name) of a kernel and what they depend on from `source` (the kernel's module folder)
 * to `target`, decompressed with `unxz` (a command that reads a file name and writes to its standard output). Built-in
 * modules and names that this kernel does not know as modules are left out.
 *
 * @returns for each group the files relative to `target` that no earlier group has, in the order in which they can be loaded.
 */
export async function copyModules(
  source: string,
  target: string,
  groups: readonly (readonly string[])[],
  unxz: readonly string[],
): Promise<string[][]> {
  const files = await moduleFiles(source);
  const visited = new Set<string>();

  const add = async (name: string, loadOrder: string[]): Promise<void> => {
    const file = files.get(normalise(name));
    if (file === undefined || visited.has(file)) return;
    visited.add(file);
    const contents = await readModule(file, unxz);
    for (const dependency of dependenciesOf(contents)) await add(dependency, loadOrder);
    const path = relative(source, file).replace(/\.xz$/, "");
    await mkdir(dirname(join(target, path)), { recursive: true });
    await writeFile(join(target, path), contents);
    loadOrder.push(path);
  };

  const result: string[][] = [];
  for (const group of groups) {
    const loadOrder: string[] = [];
    for (const name of group) await add(name, loadOrder);
    result.push(loadOrder);
  }
  return result;
}

/**
 * The modules that a module needs, from the `depends=` entry that the kernel's build leaves in its .modinfo section (a
 * row of zero-terminated `key=value` strings).
 */
export function dependenciesOf(module: Buffer): string[] {
  const start = module.indexOf("\0depends=");
  if (start < 0) return [];
  const valueStart = start + "\0depends=".length;
  const value = module.toString("latin1", valueStart, module.indexOf(0, valueStart));
  return value === "" ? [] : value.split(",");
}

async function moduleFiles(source: string): Promise<Map<string, string>> {
  const names = await readdir(source, { recursive: true, encoding: "utf8" });
  const files = new Map<string, string>();
  for (const name of names) {
    const module = MODULE_FILE.exec(name)?.[1];
    if (module !== undefined) files.set(normalise(module), join(source, name));
  }
  return files;
}

/** The kernel takes `-` and `_` in module names for the same. */
function normalise(name: string): string {
  return name.replaceAll("-", "_");
}

async function readModule(file: string, unxz: readonly string[]): Promise<Buffer> {
  if (!file.endsWith(".xz")) return readFile(file);
  const [command = "", ...args] = unxz;
  const { stdout } = await promisify(execFile)(command, [...args, file], {
    encoding: "buffer",
    maxBuffer: 64 << 20,
  });
  return stdout;
}
