import { openSync } from "node:fs";
import * as file from "../../../lib/sys/file.js";
import { addressOf, bind, check } from "../../../lib/sys/libc.js";

/**
 * System calls that Node.js has no function for, on paths, throwing what failed. Offsets are bigints where tests go to the ends of
 * their range.
 */
const { AT_FDCWD } = file;

const lseek = bind<(fd: number, offset: bigint, whence: number) => number | bigint>(
  "int64_t lseek(int fd, int64_t offset, int whence)",
);
const fallocateAt = bind<(fd: number, mode: number, offset: bigint, length: bigint) => number>(
  "int fallocate(int fd, int mode, int64_t offset, int64_t length)",
);
const ftruncateTo = bind<(fd: number, length: bigint) => number>("int ftruncate(int fd, int64_t length)");
const pwriteAt = bind<(fd: number, data: number, length: number, offset: bigint) => number>(
  "int64_t pwrite(int fd, uintptr_t data, size_t length, int64_t offset)",
);
const flockOn = bind<(fd: number, operation: number) => number>("int flock(int fd, int operation)");
const fcntlOn = bind<(fd: number, command: number, lock: number) => number>(
  "int fcntl(int fd, int command, uintptr_t lock)",
);
const ioctlOn = bind<(fd: number, request: number, argument: number) => number>(
  "int ioctl(int fd, unsigned long request, uintptr_t argument)",
);

/** Keeps the bytes of `text` until `call` has returned. */
function withText<T>(text: string, call: (address: number) => T): T {
  const bytes = Buffer.from(`${text}\0`);
  return call(addressOf(bytes));
}

export function mknod(path: string, mode: number, device = 0): void {
  withText(path, (address) => check(file.mknodat(AT_FDCWD, address, mode, device), "mknod", path));
}

export function rename2(from: string, to: string, flags: number): void {
  withText(from, (source) =>
    withText(to, (target) =>
      check(file.renameat2(AT_FDCWD, source, AT_FDCWD, target, flags), "renameat2", to),
    ),
  );
}

/** Gives the open file `fd` a name. */
export function linkDescriptor(fd: number, path: string): void {
  withText(`/proc/self/fd/${fd}`, (source) =>
    withText(path, (target) =>
      check(file.linkat(AT_FDCWD, source, AT_FDCWD, target, file.AT_SYMLINK_FOLLOW), "linkat", path),
    ),
  );
}

/** Opens a file without a name in `dir`. */
export function openTemporary(dir: string, mode = 0o600): number {
  return openSync(dir, file.O_TMPFILE | file.O_RDWR, mode);
}

export function seek(fd: number, offset: number | bigint, whence: number): number {
  return check(Number(lseek(fd, BigInt(offset), whence)), "lseek");
}

export function fallocate(fd: number, mode: number, offset: number | bigint, length: number | bigint): void {
  check(fallocateAt(fd, mode, BigInt(offset), BigInt(length)), "fallocate");
}

export function truncateTo(fd: number, length: bigint): void {
  check(ftruncateTo(fd, length), "ftruncate");
}

/** @returns how many bytes were written */
export function pwrite(fd: number, data: Uint8Array, offset: bigint): number {
  return check(pwriteAt(fd, addressOf(data), data.length, offset), "pwrite");
}

/** @returns how many bytes were copied */
export function copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number) {
  const offsets = new BigInt64Array([BigInt(fromOffset), BigInt(toOffset)]);
  const address = addressOf(offsets);
  return check(file.copyFileRange(from, address, to, address + 8, length, 0), "copy_file_range");
}

/** A time of utimensat(2): nanoseconds since 1970, or UTIME_NOW or UTIME_OMIT. */
export type Time = bigint | "now" | "omit";

export function setTimes(path: string, accessed: Time, modified: Time, flags = 0): void {
  const times = new BigInt64Array([...timespec(accessed), ...timespec(modified)]);
  withText(path, (address) =>
    check(file.utimensat(AT_FDCWD, address, addressOf(times), flags), "utimensat", path),
  );
}

function timespec(time: Time): [bigint, bigint] {
  if (time === "now") return [0n, BigInt(file.UTIME_NOW)];
  if (time === "omit") return [0n, BigInt(file.UTIME_OMIT)];
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(time - nanoseconds) / 1_000_000_000n, nanoseconds];
}

export function setXattr(path: string, name: string, value: Uint8Array, flags = 0): void {
  withText(path, (address) =>
    withText(name, (attribute) =>
      check(file.setxattr(address, attribute, addressOf(value), value.length, flags), "setxattr", name),
    ),
  );
}

export function getXattr(path: string, name: string, sizeMax = 65536): Buffer {
  const value = Buffer.alloc(Math.max(sizeMax, 1));
  const size = withText(path, (address) =>
    withText(name, (attribute) =>
      check(file.getxattr(address, attribute, addressOf(value), sizeMax), "getxattr", name),
    ),
  );
  return sizeMax === 0 ? Buffer.alloc(size) : value.subarray(0, size);
}

export function listXattrs(path: string): string[] {
  const list = Buffer.alloc(65536);
  const size = withText(path, (address) =>
    check(file.listxattr(address, addressOf(list), list.length), "listxattr", path),
  );
  return list
    .toString("latin1", 0, size)
    .split("\0")
    .filter((name) => name !== "");
}

export function removeXattr(path: string, name: string): void {
  withText(path, (address) =>
    withText(name, (attribute) => check(file.removexattr(address, attribute), "removexattr", name)),
  );
}

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

export function flock(fd: number, operation: number): void {
  check(flockOn(fd, operation), "flock");
}

export const F_GETLK = 5;
export const F_SETLK = 6;
export const F_SETLKW = 7;
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

/** fcntl(2) for locks of `length` bytes from `start`; returns what the kernel leaves in struct flock. */
export function lock(fd: number, command: number, type: number, start: number, length: number) {
  const record = new DataView(new ArrayBuffer(32));
  record.setInt16(0, type, true);
  record.setBigInt64(8, BigInt(start), true);
  record.setBigInt64(16, BigInt(length), true);
  check(fcntlOn(fd, command, addressOf(record)), "fcntl");
  return {
    type: record.getInt16(0, true),
    start: Number(record.getBigInt64(8, true)),
    length: Number(record.getBigInt64(16, true)),
    pid: record.getInt32(24, true),
  };
}

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;

/** The flags that chattr(1) changes. */
export function fileFlags(fd: number): number {
  const flags = new Uint32Array(2);
  check(ioctlOn(fd, FS_IOC_GETFLAGS, addressOf(flags)), "FS_IOC_GETFLAGS");
  return flags[0] ?? 0;
}

export function setFileFlags(fd: number, flags: number): void {
  check(ioctlOn(fd, FS_IOC_SETFLAGS, addressOf(new Uint32Array([flags, 0]))), "FS_IOC_SETFLAGS");
}

/** Length of the longest name, `f_namelen` of statfs(2). */
export function nameLengthMax(fd: number): number {
  const record = new DataView(new ArrayBuffer(120));
  check(file.fstatfs(fd, addressOf(record)), "fstatfs");
  return Number(record.getBigInt64(64, true));
}

/** One entry as getdents64(2) gives it. */
export interface Entry {
  readonly name: string;
  /** Where lseek(2) goes to read on behind this entry. */
  readonly next: bigint;
  readonly type: number;
}

const ENTRY_HEADER_BYTES = 19;

/** The next entries of the directory `fd`, as many as fit `bytes`; none at its end. */
export function readEntries(fd: number, bytes = 4096): Entry[] {
  const buffer = Buffer.alloc(bytes);
  const size = check(file.getdents64(fd, addressOf(buffer), bytes), "getdents64");
  const entries: Entry[] = [];
  for (let at = 0; at < size; at += buffer.readUInt16LE(at + 16)) {
    const start = at + ENTRY_HEADER_BYTES;
    const name = buffer.toString("utf8", start, buffer.indexOf(0, start));
    entries.push({ name, next: buffer.readBigInt64LE(at + 8), type: buffer[at + 18] ?? 0 });
  }
  return entries;
}
