import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { hostGet, hostList } from "../../fsd/testing/host-xattr.js";

const MAJOR_SHIFT = 8;

/** Every file below a directory in a line of its own: all that there is to say of it, but for times, and sizes of directories. */
export function treeListing(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).sort().map((name) => describe(root, name));
}

function describe(root: string, name: string): string {
  const path = join(root, name);
  const stat = lstatSync(path);
  const words = [name, stat.mode.toString(8), `${stat.uid}:${stat.gid}`];
  // Overlays make one whiteout and link it: how often says nothing.
  if (stat.isCharacterDevice() && stat.rdev === 0) return `${name} whiteout`;
  if (!stat.isDirectory()) words.push(`links ${stat.nlink}`);
  if (stat.isFile())
    words.push(`${stat.size} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`);
  if (stat.isSymbolicLink()) words.push(`-> ${readlinkSync(path)}`);
  if (stat.isCharacterDevice() || stat.isBlockDevice())
    words.push(`${stat.rdev >> MAJOR_SHIFT}:${stat.rdev & ((1 << MAJOR_SHIFT) - 1)}`);
  for (const attribute of hostList(path))
    words.push(`${attribute}=${Buffer.from(hostGet(path, attribute) ?? "", "latin1").toString("hex")}`);
  return words.join(" ");
}
