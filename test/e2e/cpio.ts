/** An entry of a cpio archive: a directory without contents, a file with them. */
export interface CpioEntry {
  /** Without a slash at its beginning. */
  readonly name: string;
  /** As in st_mode, with the file's type. */
  readonly mode: number;
  readonly contents?: Buffer;
}

const MAGIC = "070701";
const ALIGNMENT = 4;

/** A cpio archive of the "new ASCII" format, as Linux unpacks it for an initial ramdisk (Documentation/driver-api/early-userspace). */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const all = [...entries, { name: "TRAILER!!!", mode: 0 }];
  return Buffer.concat(all.flatMap((entry, index) => encode(entry, index + 1)));
}

function encode({ name, mode, contents = Buffer.alloc(0) }: CpioEntry, inode: number): Buffer[] {
  const [uid, gid, links, mtime, device] = [0, 0, 1, 0, 0];
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [
    ...[inode, mode, uid, gid, links, mtime, contents.length],
    ...[device, device, device, device, nameBytes.length, 0],
  ];
  const header = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join(""));
  return [padded(Buffer.concat([header, nameBytes])), padded(contents)];
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]);
}
