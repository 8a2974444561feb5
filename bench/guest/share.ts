import { cpSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execute } from "../../test/e2e/machine.js";
import { writeLongProgram } from "./long-program.js";
import { BIG_BYTES, PROGRAM_BYTES, TREE } from "./workloads.js";

const DISK_BYTES = 2 ** 31;

export interface BenchFiles {
  /** ro/ is what is read, and rw/NAME where a subject writes. */
  readonly share: string;
  /** An ext4 image with the same. */
  readonly disk: string;
}

/** Makes what workloads work on below `directory`, or finds it there. */
export async function benchFiles(
  directory: string,
  guestRoot: string,
  subjects: readonly string[],
): Promise<BenchFiles> {
  const [share, disk] = [join(directory, "share"), join(directory, "disk.img")];
  if (existsSync(disk)) return { share, disk };
  const toRead = join(share, "ro");
  mkdirSync(toRead, { recursive: true });
  for (const subject of subjects) mkdirSync(join(share, "rw", subject), { recursive: true });
  // Not of zeros: what is sparse, or all the same, could be had for nothing.
  writeFileSync(join(toRead, "big"), Buffer.alloc(BIG_BYTES, "what is read\n"));
  writeLongProgram(join(toRead, "program"), PROGRAM_BYTES);
  for (let outer = 0; outer < TREE.directories; outer++) {
    const folder = join(toRead, "tree", `d${outer}`);
    mkdirSync(folder, { recursive: true });
    for (let inner = 0; inner < TREE.filesEach; inner++)
      writeFileSync(join(folder, `f${inner}`), Buffer.alloc(TREE.fileBytes, "line\n"));
  }
  cpSync(guestRoot, join(toRead, "root"), { recursive: true, verbatimSymlinks: true });
  const words = ["-q", "-F", "-d", share, `${disk}.new`, `${DISK_BYTES / 1024}k`];
  const { status, stderr } = await execute(["/sbin/mkfs.ext4", ...words]);
  if (status !== 0) throw new Error(`mkfs.ext4: ${stderr}`);
  renameSync(`${disk}.new`, disk);
  return { share, disk };
}
