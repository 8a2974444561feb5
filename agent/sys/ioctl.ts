import { bindLazily, check } from "../../lib/sys/libc.js";

const ioctl2 = bindLazily<(fd: number, request: number, argument: ArrayBufferView | null) => number>(
  "int ioctl(int fd, uint64_t request, void *argument)",
);

/** ioctl(2) whose argument is a structure, or none. Throws a SysError that names the request. */
export function ioctl(fd: number, request: number, name: string, argument: ArrayBufferView | null): void {
  check(ioctl2(fd, request, argument), `ioctl ${name}`);
}
