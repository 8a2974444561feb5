const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** What an archive holds: by path without a leading slash. Folders of a path are made on the way. */
export type ArchiveEntry =
  | { readonly content: Uint8Array; readonly isExecutable: boolean }
  | { readonly linkTo: string };

/** An archive that Linux unpacks as its initramfs: Documentation/driver-api/early-userspace/buffer-format.rst. */
export function initramfs(entries: ReadonlyMap<string, ArchiveEntry>): Buffer {
  const parts: Buffer[] = [];
  let inode = 0;
  const add = (path: string, mode: number, content: Uint8Array) => {
    const name = Buffer.from(`${path}\0`);
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check.
    const fields = [++inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(content));
  };
  const made = new Set<string>();
  const makeFolders = (path: string) => {
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      const folder = path.slice(0, end);
      if (!made.has(folder)) add(folder, S_IFDIR | 0o755, Buffer.alloc(0));
      made.add(folder);
    }
  };
  for (const [path, entry] of entries) {
    makeFolders(path);
    if ("linkTo" in entry) add(path, S_IFLNK | 0o777, Buffer.from(entry.linkTo));
    else add(path, S_IFREG | (entry.isExecutable ? 0o755 : 0o644), entry.content);
  }
  add("TRAILER!!!", 0, Buffer.alloc(0));
  return Buffer.concat(parts);
}

/** Names and contents end at multiples of four bytes. */
function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
