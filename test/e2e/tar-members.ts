import { createHash } from "node:crypto";

const BLOCK_BYTES = 512;

/** What a layer says of a file, without its times. */
export interface TarMember {
  readonly name: string;
  /** The type flag of the header: "0" file, "1" hard link, "2" symbolic link, "3" and "4" devices, "5" directory, "6" fifo. */
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  readonly linkName: string;
  readonly device: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Extended attributes, with values in hexadecimal. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Reads a tar archive in the pax format, as containerd writes layers. */
export function tarMembers(archive: Buffer): TarMember[] {
  const members: TarMember[] = [];
  let pax = new Map<string, Buffer>();
  for (let at = 0; at + BLOCK_BYTES <= archive.length; ) {
    const header = archive.subarray(at, at + BLOCK_BYTES);
    if (header.every((byte) => byte === 0)) break;
    const text = (start: number, length: number) =>
      header.toString("utf8", start, start + length).replace(/\0.*$/s, "");
    const octal = (start: number, length: number) => Number.parseInt(text(start, length).trim() || "0", 8);
    const type = text(156, 1) || "0";
    const sizeBytes = Number(pax.get("size") ?? octal(124, 12));
    const content = archive.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + sizeBytes);
    at += BLOCK_BYTES + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    if (type === "x") {
      pax = paxRecords(content);
      continue;
    }
    const prefix = text(345, 155);
    const attributes = [...pax]
      .filter(([key]) => key.startsWith("SCHILY.xattr."))
      .map(([key, value]) => [key.slice("SCHILY.xattr.".length), value.toString("hex")]);
    members.push({
      name: pax.get("path")?.toString() ?? (prefix === "" ? "" : `${prefix}/`) + text(0, 100),
      type,
      mode: octal(100, 8).toString(8),
      owner: `${octal(108, 8)}:${octal(116, 8)}`,
      linkName: pax.get("linkpath")?.toString() ?? text(157, 100),
      device: `${octal(329, 8)}:${octal(337, 8)}`,
      sizeBytes,
      sha256: createHash("sha256").update(content).digest("hex"),
      attributes: Object.fromEntries(attributes),
    });
    pax = new Map();
  }
  return members.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
function paxRecords(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(" ", at);
    const length = Number(content.toString("latin1", at, space));
    if (space < 0 || !(length > 0)) break;
    const equals = content.indexOf("=", space);
    records.set(content.toString("utf8", space + 1, equals), content.subarray(equals + 1, at + length - 1));
    at += length;
  }
  return records;
}
