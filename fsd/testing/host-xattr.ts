import { closeSync, openSync } from "node:fs";
import { getxattr, listxattr, O_NOFOLLOW, O_PATH, setxattr } from "../../lib/sys/file.js";
import { addressOf, check } from "../../lib/sys/libc.js";

/** Names of the extended attributes that the host has of a path, in order; a symbolic link is not followed. For tests. */
export function hostList(path: string): string[] {
  const list = Buffer.alloc(65536);
  const fd = openSync(path, O_PATH | O_NOFOLLOW);
  const pathBytes = Buffer.from(`/proc/self/fd/${fd}\0`);
  const length = check(listxattr(addressOf(pathBytes), addressOf(list), list.length), "listxattr", path);
  closeSync(fd);
  return list.toString("utf8", 0, length).split("\0").slice(0, -1).sort();
}

/** Sets one as the host does; each character of the value is a byte. For tests. */
export function hostSet(path: string, name: string, value: string): void {
  const [pathBytes, nameBytes, bytes] = [
    Buffer.from(`${path}\0`),
    Buffer.from(`${name}\0`),
    Buffer.from(value, "latin1"),
  ];
  const result = setxattr(addressOf(pathBytes), addressOf(nameBytes), addressOf(bytes), bytes.length, 0);
  check(result, "setxattr", `${name} of ${path}`);
}

/** The value that the host has, each byte a character, or undefined if it has none. For tests. */
export function hostGet(path: string, name: string): string | undefined {
  const value = Buffer.alloc(65536);
  const [pathBytes, nameBytes] = [Buffer.from(`${path}\0`), Buffer.from(`${name}\0`)];
  const length = getxattr(addressOf(pathBytes), addressOf(nameBytes), addressOf(value), value.length);
  return length < 0 ? undefined : value.toString("latin1", 0, length);
}
