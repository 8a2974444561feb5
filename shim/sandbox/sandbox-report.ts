import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Accelerator } from "../vm/accelerator.js";
import type { Phases } from "./phases.js";

/** What is known about a sandbox at its end (configuration key runtime.reportDirectory). */
export interface SandboxReport {
  readonly version: 1;
  readonly sandbox: string;
  readonly accelerator: Accelerator;
  /** QEMU's version. */
  readonly qemu: string;
  readonly dax: boolean;
  readonly phasesMs: Phases;
  /** Counters of kata-fsd, as it gave them. */
  readonly daemon: unknown;
}

/** Writes `<directory>/<sandbox>.json` in one step. */
export function writeReport(directory: string, report: SandboxReport): void {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${report.sandbox}.json`);
  writeFileSync(`${file}.new`, `${JSON.stringify(report, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
}
