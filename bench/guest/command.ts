import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { privateDirectory } from "../../setup/private-directory.js";
import { toolchain } from "../../test/e2e/machine.js";
import { writeSection } from "../document.js";
import { describeMachine } from "../machine-description.js";
import { type Measured, measure } from "./measure.js";
import { reportRows } from "./report.js";
import { benchFiles } from "./share.js";
import { subjectsFor } from "./subjects.js";
import { WORKLOADS } from "./workloads.js";

const SUBJECTS = ["dax", "plain", "virtiofsd", "disk"];

/**
 * `npm run bench -- guest [--row NAME] [--rounds N] [--seconds N]`. A row goes to standard output. All of them go to docs/benchmarks.md; where
 * that takes longer than --seconds, those that have been measured are kept and written, and the next call goes on with the row after them.
 */
export async function guestCommand(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      row: { type: "string", default: "" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "3600" },
    },
  });
  const rounds = Number(values.rounds);
  const until = performance.now() + Number(values.seconds) * 1000;
  const tools = await toolchain();
  const { testing } = tools;
  if (testing === undefined) throw new Error("set-up brought no virtiofsd");
  const directory = join(privateDirectory().path, "bench");
  mkdirSync(directory, { recursive: true });
  const files = await benchFiles(directory, tools.guestRoot, SUBJECTS);
  const subjects = subjectsFor(files, testing.virtiofsd);

  const resultFile = join(directory, "rows.json");
  const results = new Map<string, readonly Measured[]>(
    values.row === "" && existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, "utf8")) : [],
  );
  for (const workload of WORKLOADS) {
    if (!workload.name.startsWith(values.row) || results.has(workload.name)) continue;
    if (performance.now() > until) break;
    results.set(workload.name, await measure(workload, subjects, rounds, tools));
    if (values.row === "") writeFileSync(resultFile, JSON.stringify([...results]));
  }
  const report = reportRows(subjects, results);
  if (values.row !== "") {
    console.log(report);
    return;
  }
  const isWhole = results.size === WORKLOADS.length;
  const missing = isWhole ? "" : ` ${results.size} of ${WORKLOADS.length} rows are measured.`;
  const about = `virtiofsd ${testing.virtiofsd.version}, QEMU ${tools.qemu.version}; ${rounds} rounds.${missing} ${describeMachine()}`;
  writeSection("guest", `${about}\n\n${report}`);
  if (isWhole) await rm(directory, { recursive: true });
}
