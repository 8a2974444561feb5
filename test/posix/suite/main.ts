import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { groups } from "./groups.js";
import { checkLargeDirectory, LARGE_DIRECTORY } from "./large-directory.js";
import { PEER, runPeer } from "./peer.js";
import { format } from "./report.js";
import { runChecks } from "./run.js";
import { GUESTS, runWithOtherGuest } from "./two-guests.js";

/**
 * Runs in the guest, as root: `main.cjs WORK SMALL FIXED` checks the file systems that hold the directories, which are {@link Places}.
 */
async function main([work = ".", small = ".", fixed = "."]: readonly string[]): Promise<number> {
  process.umask(0o022);
  const root = mkdtempSync(join(work, "posix-"));
  chmodSync(root, 0o755);
  let failed = 0;
  for await (const outcome of runChecks(groups, { work: root, small, fixed })) {
    if (outcome.result === "not ok") failed++;
    console.log(format(outcome));
  }
  rmSync(root, { recursive: true, force: true });
  console.log("end");
  return failed === 0 ? 0 : 1;
}

const words = process.argv.slice(2);
const [first = "", ...rest] = words;
if (first === PEER) runPeer();
else if (first === LARGE_DIRECTORY) void checkLargeDirectory(rest[0] ?? ".");
else if (GUESTS.some((guest) => guest === first)) void runWithOtherGuest(first, rest[0] ?? ".");
else
  void main(words).then((status) => {
    process.exitCode = status;
  });
