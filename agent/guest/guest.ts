import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bindAsync, bindLazily, check } from "../../lib/sys/libc.js";

const sethostname = bindLazily<(name: string, length: number) => number>(
  "int sethostname(const char *name, size_t length)",
);
const sync = bindAsync<[]>("int sync()");
const reboot = bindLazily<(command: number) => number>("int reboot(int command)");
const clockSettime = bindLazily<(clock: number, time: BigInt64Array) => number>(
  "int clock_settime(int clock, void *time)",
);

const RB_POWER_OFF = 0x4321fedc;
const CLOCK_REALTIME = 0;

/** Where the guest's /etc/resolv.conf, on its read-only root, points to. */
const RESOLV_CONF = "/run/resolv.conf";

/** What a sandbox changes in its guest, so that sandboxes can be tested outside of one. Each throws a SysError. */
export interface Guest {
  setHostname(hostname: string): void;
  /** Sets a kernel parameter by its path below /proc/sys. */
  setSysctl(path: string, value: string): void;
  /** Makes the resolver's configuration from its lines. */
  setResolvConf(lines: readonly string[]): void;
}

/** The guest, or whatever machine the agent runs on. */
export const thisGuest: Guest = {
  setHostname(hostname) {
    check(sethostname(hostname, Buffer.byteLength(hostname)), "sethostname", hostname);
  },
  setSysctl(path, value) {
    writeFileSync(join("/proc/sys", path), value);
  },
  setResolvConf(lines) {
    writeFileSync(RESOLV_CONF, `${lines.join("\n")}\n`);
  },
};

/** clock_settime(2) of the wall clock. */
export function setClock(seconds: number, microseconds: number): void {
  const timespec = new BigInt64Array([BigInt(seconds), BigInt(microseconds) * 1000n]);
  check(clockSettime(CLOCK_REALTIME, timespec), "clock_settime");
}

/** Has file systems write out what they hold, on another thread: it takes as long as the host's disk. */
export function syncFileSystems(): Promise<void> {
  return new Promise((resolve) => sync(() => resolve()));
}

/** Ends this machine. Returns only when it fails. */
export function powerOff(): void {
  check(reboot(RB_POWER_OFF), "reboot RB_POWER_OFF");
}
