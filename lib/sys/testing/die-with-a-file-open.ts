import { openSync, readFileSync, readSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { keepDescriptors } from "../descriptor-keeper.js";

/** Tells of a file that has no name any more and was read in part, and ends by SIGKILL. */
const [path = ""] = process.argv.slice(2);
const keeper = keepDescriptors();
writeFileSync(path, "read before, read after");
const fd = openSync(path, "r+");
unlinkSync(path);
readSync(fd, Buffer.alloc("read before, ".length));
const privateKiB = /^Private_Dirty:\s+(\d+)/m.exec(
  readFileSync(`/proc/${keeper}/smaps_rollup`, "latin1"),
)?.[1];
writeSync(1, JSON.stringify({ keeper, fd, privateKiB: Number(privateKiB) }));
process.kill(process.pid, "SIGKILL");
