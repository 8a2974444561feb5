import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Progress, Step } from "./progress.js";

/** One directory of the private directory that is made as a whole or not at all. */
export interface Component {
  /** For the user, such as "containerd 1.7". */
  readonly title: string;
  /** Where it goes; its parent is made when missing. */
  readonly directory: string;
  /** Changes whenever {@link build} would make something else: package names, suite, versions of what is copied. */
  readonly recipe: string;
  /** Files below {@link directory} without which the component counts as missing. */
  readonly provides: readonly string[];
  /**
   * Makes the contents in `staging`, an empty directory beside the final one.
   *
   * @returns what was made, such as "1.7.24, 31.0 MB".
   */
  build(staging: string, step: Step): Promise<string>;
}

const STAMP = ".component.json";

/** What a stamp says of an installed component. */
interface Stamp {
  readonly recipe: string;
  readonly summary: string;
}

/**
 * Installs `component` unless it {@link isInstalled} already. The contents appear under their final name in one
 * step, so an interrupted set-up leaves either nothing or a staging directory, which the next set-up removes.
 */
export async function install(component: Component, progress: Progress): Promise<void> {
  if (await isInstalled(component)) return;
  const { directory, recipe } = component;

  const step = progress.step(component.title);
  const staging = stagingName(directory);
  await mkdir(dirname(staging), { recursive: true });
  await mkdir(staging);
  try {
    const summary = await component.build(staging, step);
    const made: Stamp = { recipe, summary };
    await writeFile(join(staging, STAMP), `${JSON.stringify(made)}\n`);
    await replaceDirectory(directory, staging);
    step.done(summary);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** True when the stamp and the files of `component` say that it is there as its recipe wants it. */
export async function isInstalled({ directory, recipe, provides }: Component): Promise<boolean> {
  const stamp = await readStamp(directory);
  return stamp?.recipe === recipe && provides.every((file) => existsSync(join(directory, file)));
}

/** What {@link Component.build} returned when the component in `directory` was installed; undefined when there is none. */
export async function installedSummary(directory: string): Promise<string | undefined> {
  return (await readStamp(directory))?.summary;
}

/** True for the name of a directory that an interrupted {@link install} may have left. */
export function isStagingName(name: string): boolean {
  return /^\..+\.(new|old)-[0-9a-f]{8}$/.test(name);
}

function stagingName(directory: string, kind: "new" | "old" = "new"): string {
  const name = directory.slice(dirname(directory).length + 1);
  return join(dirname(directory), `.${name}.${kind}-${randomBytes(4).toString("hex")}`);
}

async function replaceDirectory(directory: string, staging: string): Promise<void> {
  const old = stagingName(directory, "old");
  await rename(directory, old).catch(ignoreMissing);
  await rename(staging, directory);
  await rm(old, { recursive: true, force: true });
}

async function readStamp(directory: string): Promise<Stamp | undefined> {
  try {
    const stamp: unknown = JSON.parse(await readFile(join(directory, STAMP), "utf8"));
    return isStamp(stamp) ? stamp : undefined;
  } catch (error) {
    // Missing or torn: either way the component is made anew.
    if (error instanceof SyntaxError || isMissing(error)) return undefined;
    throw error;
  }
}

function isStamp(value: unknown): value is Stamp {
  return typeof value === "object" && value !== null && "recipe" in value && "summary" in value;
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
