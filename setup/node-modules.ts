import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { SetupError } from "./setup-error.js";

/**
 * The node_modules directory in which `project` finds a package: its own, or one above it where npm has put the package of a
 * project that depends on ours.
 *
 * @throws SetupError
 */
export function nodeModulesWith(packageName: string, project: string): string {
  const candidates = createRequire(join(project, "package.json")).resolve.paths(packageName) ?? [];
  const found = candidates.find((candidate) => existsSync(join(candidate, packageName, "package.json")));
  if (found !== undefined) return found;
  throw new SetupError({ found: `no ${packageName} for ${project}`, needed: "npm install" });
}
