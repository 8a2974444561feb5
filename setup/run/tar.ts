/** One member of a tar archive. */
export interface TarEntry {
  /** Path without a slash at its beginning; at most 100 bytes. */
  readonly name: string;
  readonly type: "file" | "directory" | "symlink";
  readonly mode: number;
  /** Length of the contents that follow the header; 0 for anything but files. */
  readonly sizeBytes: number;
  /** Target of a symbolic link, at most 100 bytes. */
  readonly linkName?: string;
}

const BLOCK_BYTES = 512;
const TYPE_FLAGS = { file: "0", symlink: "2", directory: "5" } as const;
/** Offsets and lengths of the ustar header's fields (POSIX.1-1988, pax(1)). */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
} as const;

/** The header of `entry`, owned by root and as old as the epoch, so that equal contents give equal archives. */
export function tarHeader(entry: TarEntry): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  putText(header, FIELD.name, entry.type === "directory" ? `${entry.name}/` : entry.name);
  putOctal(header, FIELD.mode, entry.mode);
  putOctal(header, FIELD.uid, 0);
  putOctal(header, FIELD.gid, 0);
  putOctal(header, FIELD.size, entry.sizeBytes);
  putOctal(header, FIELD.mtime, 0);
  putText(header, FIELD.type, TYPE_FLAGS[entry.type]);
  putText(header, FIELD.linkName, entry.linkName ?? "");
  putText(header, FIELD.magic, "ustar\x0000");
  putChecksum(header);
  return header;
}

/** The zeros that follow contents of `sizeBytes`. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK_BYTES);
}

/** A file with its contents, ready to be appended to an archive. */
export function tarFile(name: string, contents: Buffer, mode = 0o644): Buffer {
  const header = tarHeader({ name, type: "file", mode, sizeBytes: contents.length });
  return Buffer.concat([header, contents, tarPadding(contents.length)]);
}

type Field = readonly [offset: number, length: number];

function putText(header: Buffer, [offset, length]: Field, text: string): void {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length > length)
    throw new RangeError(`"${text}" does not fit a tar header field of ${length} bytes`);
  bytes.copy(header, offset);
}

function putOctal(header: Buffer, field: Field, value: number): void {
  putText(header, field, value.toString(8).padStart(field[1] - 1, "0"));
}

/** The sum of all bytes, taken with the checksum field itself as blanks; six digits, a zero, a blank. */
function putChecksum(header: Buffer): void {
  const [offset, length] = FIELD.checksum;
  header.fill(" ", offset, offset + length);
  let sum = 0;
  for (const byte of header) sum += byte;
  putText(header, FIELD.checksum, `${sum.toString(8).padStart(6, "0")}\0 `);
}
