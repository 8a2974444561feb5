import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { InstallError } from "./error.js";

/** What an installation has made, for the one that takes it back. */
export interface InstallRecord {
  readonly version: 1;
  /** Directories that were not there before, the outermost first. */
  readonly directories: readonly string[];
  /** Files that were not there before, with the SHA-256 of what was written. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
  /** containerd's configuration, which was there and has got tables added. */
  readonly containerdConfig: string | undefined;
  /** The directory of QEMU and guest, if it was not there before. */
  readonly assets: string | undefined;
}

/** Where the record of an installation lies: beside its configuration. */
export function recordPath(configFile: string): string {
  return join(dirname(configFile), "install.json");
}

/** @throws InstallError when there is none, or one that this version does not understand */
export function readRecord(file: string): InstallRecord {
  let record: unknown;
  try {
    record = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new InstallError(
      { found: `no record of an installation at ${file}`, needed: "kata-fs install, or its --config" },
      { cause },
    );
  }
  if (isRecord(record)) return record;
  throw new InstallError({ found: `${file} is none of this version`, needed: "the kata-fs that wrote it" });
}

function isRecord(value: unknown): value is InstallRecord {
  return typeof value === "object" && value !== null && "version" in value && value.version === 1;
}
