import { bind, check, permanentAddressOf } from "./libc.js";

const eventfd = bind<(initial: number, flags: number) => number>("int eventfd(uint32_t initial, int flags)");
const read = bind<(fd: number, buffer: number, count: number) => number>(
  "int64_t read(int fd, uintptr_t buffer, size_t count)",
);
const write = bind<(fd: number, buffer: number, count: number) => number>(
  "int64_t write(int fd, uintptr_t buffer, size_t count)",
);

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const COUNTER_BYTES = 8;

const oneAddress = permanentAddressOf(new BigUint64Array([1n]));
const counterAddress = permanentAddressOf(new BigUint64Array(1));

/** @throws SysError */
export function createEventfd(): number {
  return check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

/** Adds 1 to the counter. Nothing is wrong when that fails: a counter at its limit is readable already. */
export function signalEventfd(fd: number): void {
  write(fd, oneAddress, COUNTER_BYTES);
}

/** Sets the counter to 0. @returns whether it was more than that */
export function drainEventfd(fd: number): boolean {
  return read(fd, counterAddress, COUNTER_BYTES) === COUNTER_BYTES;
}
