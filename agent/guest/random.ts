import { closeSync, openSync, writeSync } from "node:fs";
import { ioctl } from "../sys/ioctl.js";

/** random(4): makes the generator take up what is in the pool. */
const RNDRESEEDCRNG = 0x5207;

/** Mixes `data` into the kernel's random numbers, for a guest that was cloned from another. */
export function reseedRandom(data: Uint8Array): void {
  const fd = openSync("/dev/random", "w");
  try {
    writeSync(fd, data);
    ioctl(fd, RNDRESEEDCRNG, "RNDRESEEDCRNG", null);
  } finally {
    closeSync(fd);
  }
}
