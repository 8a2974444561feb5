import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {{ version?: string, optional?: boolean, os?: string[], cpu?: string[], libc?: string[] }} LockedPackage
 */

/**
 * Installs the npm dependencies with `npm ci` unless what is installed matches package-lock.json already.
 * Uses Node's own modules only: it runs before any dependency exists.
 *
 * @param {string} root the repository
 */
export function ensureDependencies(root) {
  const stale = firstDifference(root);
  if (stale === undefined) return;
  console.log(`npm ci (${stale})`);
  const { status, error } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: "inherit",
  });
  if (error) throw new Error(`npm cannot be started: ${error.message}; it comes with Node.js`);
  if (status !== 0) throw new Error(`npm ci failed with exit status ${status}; see its output above`);
}

/**
 * Why node_modules needs an installation, or undefined when it is as package-lock.json wants it. npm records what it
 * installed in node_modules/.package-lock.json, in the same format.
 *
 * @param {string} root
 * @returns {string | undefined}
 */
function firstDifference(root) {
  const installedFile = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return "nothing is installed yet";
  const wanted = readPackages(join(root, "package-lock.json"));
  const installed = readPackages(installedFile);
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "" || !isForThisPlatform(entry)) continue;
    const found = installed[path];
    if (found === undefined) return `${path} is missing`;
    if (found.version !== entry.version) return `${path} is ${found.version}, wanted ${entry.version}`;
    if (!existsSync(join(root, path))) return `${path} is gone`;
  }
  return undefined;
}

/**
 * @param {string} file
 * @returns {Record<string, LockedPackage>}
 */
function readPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
}

/** @param {LockedPackage} entry */
function isForThisPlatform({ os, cpu, libc }) {
  return (
    (os === undefined || os.includes(process.platform)) &&
    (cpu === undefined || cpu.includes(process.arch)) &&
    (libc === undefined || libc.includes("glibc"))
  );
}
