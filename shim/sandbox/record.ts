import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../lib/sys/errno.js";
import { writeFileAtomically } from "../address.js";
import type { SandboxIdentity } from "../task/sandbox-port.js";
import { STATE_DIRECTORY } from "./layout.js";

/** Whose a sandbox's directory is: for whoever finds it, and for what cannot be asked any more. */
export interface SandboxRecord extends SandboxIdentity {
  /** Raised when a field changes its meaning. */
  readonly version: 1;
  readonly bundle: string;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
}

export function writeRecord(file: string, record: SandboxRecord): void {
  writeFileAtomically(file, JSON.stringify(record));
}

/** A sandbox's directory, with its record unless that is missing or damaged. */
export interface FoundSandbox {
  readonly directory: string;
  readonly record: SandboxRecord | undefined;
}

/** The directories of all sandboxes of this machine, whole or not, by name. */
export function findSandboxes(stateDirectory: string = STATE_DIRECTORY): FoundSandbox[] {
  return directoriesIn(stateDirectory)
    .sort()
    .map((name) => join(stateDirectory, name))
    .map((directory) => ({ directory, record: readRecord(join(directory, "sandbox.json")) }));
}

/** Names with a dot first are not sandboxes': caches, and what all of them share. */
function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function readRecord(file: string): SandboxRecord | undefined {
  try {
    const record: unknown = JSON.parse(readFileSync(file, "utf8"));
    return isRecord(record) ? record : undefined;
  } catch {
    // Neither a directory that is just being made nor one that a crash left needs to have one.
    return undefined;
  }
}

function isRecord(value: unknown): value is SandboxRecord {
  if (typeof value !== "object" || value === null || !("version" in value) || value.version !== 1)
    return false;
  const texts = ["id", "namespace", "address", "bundle"] as const;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return texts.every((key) => typeof fields[key] === "string") && typeof fields["createdAtMs"] === "number";
}
