import { rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../command.js";
import type { Step } from "../progress.js";

/** What no program here reads. */
const DOCUMENTATION = [
  "usr/share/doc",
  "usr/share/man",
  "usr/share/info",
  "usr/share/locale",
  "usr/share/lintian",
];

/** Unpacks `packages` (.deb files) over each other into `directory`, without running their scripts. */
export async function unpack(packages: readonly string[], directory: string, step: Step): Promise<void> {
  for (const [index, file] of packages.entries()) {
    step.update(`unpacking ${index + 1} of ${packages.length}`);
    await run(["dpkg-deb", "--extract", file, directory]);
  }
  for (const path of DOCUMENTATION) await rm(join(directory, path), { recursive: true, force: true });
}
