import { constants } from "node:os";

/** Errno numbers by name, as in errno(3). */
export const Errno = constants.errno;

/** A system call that failed: which, on what, and its errno. */
export class SysError extends Error {
  override readonly name = "SysError";

  constructor(
    readonly errno: number,
    /** Name of the errno, such as "ENOENT". */
    readonly code: string,
    readonly syscall: string,
    subject?: string,
  ) {
    super(`${syscall}${subject === undefined ? "" : ` ${subject}`}: ${code}`);
  }

  static fromErrno(errno: number, syscall: string, subject?: string): SysError {
    return new SysError(errno, errnoName(errno), syscall, subject);
  }
}

/** Whether `error` is a failed system call, of Node's or of our own binding, with one of these errno names. */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code)
  );
}

/** The first name of each number: EAGAIN and not EWOULDBLOCK. */
const namesByErrno = new Map(
  Object.entries(Errno)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** "ENOENT" for 2; "errno 999" for a number that has no name. */
export function errnoName(errno: number): string {
  return namesByErrno.get(errno) ?? `errno ${errno}`;
}
