import { mkdirSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { writeFileAtomically } from "./address.js";

/** Versions of the task service: `containerd.task.v2.Task` and `containerd.task.v3.Task`. */
export type TaskVersion = 2 | 3;

/** On the way to the answer that containerd waits for: one that hangs is not waited for. */
const ASKING_LIMIT_MS = 2000;
/** The major version of the containerd that speaks version 3. Older ones refuse it. */
const CONTAINERD_WITH_V3 = 2;

/**
 * The newest version of the task service that a containerd speaks. Neither arguments nor environment of a shim tell one from another
 * (MAX_SHIM_VERSION is 2 in all), so its binary is asked, and the answer kept in `cacheDirectory` until the file changes. Version 2,
 * which all speak, where nothing is to be found out.
 */
export async function taskVersionOf(publishBinary: string, cacheDirectory: string): Promise<TaskVersion> {
  const stat = isAbsolute(publishBinary) ? statSync(publishBinary, { throwIfNoEntry: false }) : undefined;
  if (stat === undefined) return 2;
  const cache = join(
    cacheDirectory,
    `.containerd-${stat.dev}-${stat.ino}-${stat.size}-${Math.trunc(stat.mtimeMs)}`,
  );
  const known = readVersion(cache);
  if (known !== undefined) return known;
  const text = await askVersion(publishBinary);
  if (text === undefined) return 2;
  const version = versionIn(text);
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  writeFileAtomically(cache, String(version));
  return version;
}

/** What `start` prints: the plain address, or the BootstrapParams of containerd 2 in JSON, which older ones dial as they are. */
export function startAnswer(address: string, version: TaskVersion): string {
  return version === 2 ? address : JSON.stringify({ version, address, protocol: "ttrpc" });
}

/** @returns undefined if it does not say anything */
async function askVersion(binary: string): Promise<string | undefined> {
  // Loaded once after each change of containerd, and not at each start.
  const { execFile } = await import("node:child_process");
  return await new Promise((resolve) => {
    execFile(binary, ["--version"], { timeout: ASKING_LIMIT_MS }, (error, stdout) => {
      resolve(error === null ? stdout : undefined);
    });
  });
}

/** Of "containerd github.com/containerd/containerd/v2 2.1.9 …" or one with "v2.1.9". */
function versionIn(text: string): TaskVersion {
  const [, major = "0"] = /^\S*containerd \S+ v?(\d+)\.\d/.exec(text) ?? [];
  return Number(major) >= CONTAINERD_WITH_V3 ? 3 : 2;
}

function readVersion(file: string): TaskVersion | undefined {
  try {
    const text = readFileSync(file, "utf8");
    return text === "3" ? 3 : text === "2" ? 2 : undefined;
  } catch {
    // Not asked yet; for any other reason it is asked again.
    return undefined;
  }
}
