import { readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
/** Where the TypeScript loader of the tests keeps what it has compiled. */
const LOADER_CACHE = join(tmpdir(), "tsx-");

/**
 * What the open descriptors of this process refer to, as /proc/self/fd names it. Left out are the sources and compiled modules that
 * another thread, the TypeScript loader, reads and writes whenever it likes: a count with them is not the test's own.
 */
export function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    const target = targetOf(fd);
    if (target === undefined || target.startsWith(`${REPOSITORY}/`) || target.startsWith(LOADER_CACHE))
      return [];
    return [target];
  });
}

/**
 * Which of the open descriptors are more than there were in `before`, what {@link openDescriptors} said. For tests that await: what the
 * loader, or the test runner, has closed meanwhile must not make up for what the test leaves.
 */
export function openedSince(before: readonly string[]): string[] {
  const known = [...before];
  return openDescriptors().filter((target) => {
    const index = known.indexOf(target);
    if (index >= 0) known.splice(index, 1);
    return index < 0;
  });
}

function targetOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // Closed meanwhile: the one that the list was read by, or the loader's.
    return undefined;
  }
}
