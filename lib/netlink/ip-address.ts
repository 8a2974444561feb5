import { isIPv4, isIPv6 } from "node:net";
import { NetlinkFormatError } from "./message.js";

/** Address families of the kernel, as messages of rtnetlink have them. */
export const AF_INET = 2;
export const AF_INET6 = 10;
export type IpFamily = typeof AF_INET | typeof AF_INET6;

const IPV4_BYTES = 4;
const IPV6_BYTES = 16;
const GROUPS = 8;

/** "10.0.0.1" for 4 bytes, "fd00:0:0:0:0:0:0:1" for 16. @throws NetlinkFormatError */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === IPV4_BYTES) return bytes.join(".");
  if (bytes.length !== IPV6_BYTES) throw new NetlinkFormatError(`an address of ${bytes.length} bytes`);
  const { buffer, byteOffset, byteLength } = bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Array.from({ length: GROUPS }, (_, index) => view.getUint16(index * 2).toString(16)).join(":");
}

/** The bytes of an address in text. @throws NetlinkFormatError */
export function parseIp(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%"))
    throw new NetlinkFormatError(`${JSON.stringify(text)} is no IP address`);
  // The last 32 bits may be written as IPv4.
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, IPV4_BYTES).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groupsOf = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [first, last] = [groupsOf(head), groupsOf(tail ?? "")];
  const groups = [...first, ...new Array<number>(GROUPS - first.length - last.length).fill(0), ...last];
  const bytes = Buffer.alloc(IPV6_BYTES);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(group, index * 2);
  return bytes;
}

export function familyOf(address: Uint8Array): IpFamily {
  return address.length === IPV4_BYTES ? AF_INET : AF_INET6;
}

/** "02:42:0a:00:00:02". */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** @throws NetlinkFormatError */
export function parseMac(text: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new NetlinkFormatError(`${JSON.stringify(text)} is no MAC address`);
  return Buffer.from(text.replaceAll(":", ""), "hex");
}
