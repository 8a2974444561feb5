import { closeSync, fstatSync, readdirSync } from "node:fs";

/**
 * Closes descriptors of directories: they would be ways out of the root directory. Whoever started the daemon may have left some open.
 *
 * @param except those that are the daemon's own
 */
export function closeDirectories(except: readonly number[] = []): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (except.includes(fd) || !isDirectory(fd)) continue;
    closeSync(fd);
  }
}

function isDirectory(fd: number): boolean {
  try {
    return fstatSync(fd).isDirectory();
  } catch {
    // Closed meanwhile: the one that the list was read by.
    return false;
  }
}
