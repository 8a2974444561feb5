import { closeSync, openSync, writeSync } from "node:fs";
import { bind, check } from "../../lib/sys/libc.js";

const ioctl = bind<(fd: number, request: number, argument: number) => number>(
  "int ioctl(int fd, uint64_t request, uintptr_t argument)",
);

/** random(4): makes the generator take up what is in the pool. */
const RNDRESEEDCRNG = 0x5207;

/** Mixes `data` into the kernel's random numbers, for a guest that was cloned from another. */
export function reseedRandom(data: Uint8Array): void {
  const fd = openSync("/dev/random", "w");
  try {
    writeSync(fd, data);
    check(ioctl(fd, RNDRESEEDCRNG, 0), "ioctl RNDRESEEDCRNG");
  } finally {
    closeSync(fd);
  }
}
