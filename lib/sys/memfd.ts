import { bindLazily, check, permanentAddressOf } from "./libc.js";

const memfdCreate = bindLazily<(name: number, flags: number) => number>(
  "int memfd_create(uintptr_t name, uint32_t flags)",
);
const ftruncate = bindLazily<(fd: number, length: number) => number>("int ftruncate(int fd, int64_t length)");

const MFD_CLOEXEC = 1;
const nameAddress = permanentAddressOf(Buffer.from("kata-fs\0"));

/** A file of zeroes that lives in memory, and as long as a descriptor or a mapping of it. What is never written takes no memory. @throws SysError */
export function createMemfd(byteLength: number): number {
  const fd = check(memfdCreate(nameAddress, MFD_CLOEXEC), "memfd_create");
  check(ftruncate(fd, byteLength), "ftruncate", `${byteLength} bytes`);
  return fd;
}
