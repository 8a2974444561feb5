import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { needsRoot } from "./fixture.js";

const IMAGE_BYTES = 96 << 20;

/** Why {@link mountFreezable} does not work here, or false. */
export const cannotFreeze =
  needsRoot ||
  (["/sbin/mkfs.ext4", "/sbin/fsfreeze", "/dev/loop-control"].every((path) => existsSync(path))
    ? false
    : "needs mkfs.ext4, fsfreeze and loop devices");

/** A file system on which everything that writes waits between {@link freeze} and {@link thaw}. */
export interface Freezable {
  readonly dir: string;
  /** The file that the file system is in. */
  readonly image: string;
  freeze(): void;
  thaw(): void;
}

/** Mounts a file system of its own, gone at the end of the test. */
export function mountFreezable(t: TestContext): Freezable {
  const outside = mkdtempSync(join(tmpdir(), "kata-fsd-frozen-"));
  const image = join(outside, "image");
  const dir = mkdtempSync(join(outside, "mount-"));
  writeFileSync(image, "");
  truncateSync(image, IMAGE_BYTES);
  execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-O", "^has_journal", image]);
  execFileSync("mount", ["-o", "loop", image, dir]);
  let isFrozen = false;
  const run = (flag: "--freeze" | "--unfreeze") => {
    execFileSync("/sbin/fsfreeze", [flag, dir]);
    isFrozen = flag === "--freeze";
  };
  t.after(() => {
    if (isFrozen) run("--unfreeze");
    // A device of the test may have files of it open yet.
    execFileSync("umount", ["--lazy", dir]);
    rmSync(outside, { recursive: true, force: true });
  });
  return { dir, image, freeze: () => run("--freeze"), thaw: () => run("--unfreeze") };
}
