import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { groups } from "./groups.js";
import { format } from "./report.js";
import { runChecks } from "./run.js";

/** Runs in the guest, as root: `main.cjs DIRECTORY` checks the file system that holds the directory. */
async function main([directory = "."]: readonly string[]): Promise<number> {
  process.umask(0o022);
  const root = mkdtempSync(join(directory, "posix-"));
  chmodSync(root, 0o755);
  let failed = 0;
  for await (const outcome of runChecks(groups, root)) {
    if (outcome.result === "not ok") failed++;
    console.log(format(outcome));
  }
  rmSync(root, { recursive: true, force: true });
  console.log("end");
  return failed === 0 ? 0 : 1;
}

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
