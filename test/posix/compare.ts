import { parseArgs } from "node:util";
import { toolchain } from "../e2e/machine.js";
import { surprises } from "./differences.js";
import { MODES } from "./modes.js";
import { type Run, runInGuest } from "./run-suite.js";

// npm run test:posix [-- --mode NAME … --linux RELEASE … --daemon NAME …]: the suite in every mode and on both kernels, with
// virtiofsd as the control.

const several = { type: "string", multiple: true } as const;
const { values: only } = parseArgs({ options: { mode: several, linux: several, daemon: several } });
const tools = await toolchain();
const kernels = { "6.12": tools.kernel, ...tools.testing?.kernel };

console.log("| mode | Linux | daemon | DAX | hold | differ as expected | surprises |");
console.log("|---|---|---|---|---:|---:|---:|");
for (const [mode, { options, dax }] of Object.entries(MODES)) {
  if (only.mode?.includes(mode) === false) continue;
  for (const [release, kernel] of Object.entries(kernels)) {
    if (only.linux?.includes(release) === false) continue;
    for (const daemon of ["kata-fsd", "virtiofsd"] as const) {
      if (only.daemon?.includes(daemon) === false) continue;
      await tell(mode, release, { daemon, kernel, options, dax: daemon === "kata-fsd" ? dax : "none" });
    }
  }
}

async function tell(mode: string, release: string, run: Run): Promise<void> {
  const outcomes = await runInGuest(tools, run);
  const hold = outcomes.filter(({ result }) => result === "ok").length;
  const surprising = surprises({ daemon: run.daemon, mode, release }, outcomes);
  const differ = outcomes.length - hold - surprising.length;
  console.log(
    `| ${mode} | ${release} | ${run.daemon} | ${run.dax} | ${hold} | ${differ} | ${surprising.length} |`,
  );
  for (const line of surprising) console.error(`  ${mode} ${release} ${run.daemon}: ${line}`);
  // What surprises in the control is for the reader; kata-fsd's fail the run.
  if (run.daemon === "kata-fsd" && surprising.length > 0) process.exitCode = 1;
}
