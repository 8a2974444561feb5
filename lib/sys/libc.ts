import { SysError } from "./errno.js";
import koffi from "./koffi.js";

/**
 * The C library of this process. Bindings are declared beside their use with {@link bind}; each costs about 60 ns a call.
 */
const libc = koffi.load("libc.so.6");

/**
 * Binds one C function, `signature` in C syntax. A parameter that takes the address of preallocated memory is declared
 * `uintptr_t` and given a number from {@link addressOf}: user addresses have 47 bits, so a number holds each of them exactly.
 * Size and offset results are declared `int64_t`, which koffi returns as a number while it fits 53 bits.
 */
export function bind<F>(signature: string): F {
  return libc.func(signature) as unknown as F;
}

/**
 * The same for a function that is not called often: it is bound at its first call. A binding costs milliseconds in a guest under
 * emulation, whose agent starts in every pod.
 */
export function bindLazily<F extends (...args: never[]) => unknown>(signature: string): F {
  let bound: F | undefined;
  const call = (...args: Parameters<F>) => {
    bound ??= bind<F>(signature);
    return bound(...args);
  };
  return call as F;
}

/** Finds a function of the running program itself, of Node or a library that Node is linked to, when the result is called. */
export function bindProgram<F>(signature: string): () => F {
  let bound: F | undefined;
  return () => {
    bound ??= koffi.load(null).func(signature) as unknown as F;
    return bound;
  };
}

/**
 * Binds a function that waits, when it is first called, to be called on a thread of libuv's pool. `done` gets the result; in it, before
 * any other call, {@link lastErrno} tells that thread's errno. Node's event loop lives on while a call is out.
 */
export function bindAsync<A extends readonly unknown[]>(
  signature: string,
): (...args: [...A, done: (result: number) => void]) => void {
  let bound: ReturnType<typeof libc.func> | undefined;
  return (...args) => {
    bound ??= libc.func(signature);
    const done = args.at(-1) as (result: number) => void;
    bound.async(...args.slice(0, -1), (_error: unknown, result: number) => done(result));
  };
}

/** The `errno` of the last bound call of this thread. Read it before any other call. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Throws the {@link SysError} of the last bound call when `result` is negative; returns `result` otherwise. */
export function check(result: number, syscall: string, subject?: string): number {
  if (result < 0) throw SysError.fromErrno(koffi.errno(), syscall, subject);
  return result;
}

/**
 * The address of the first byte of `memory`. It stays valid as long as `memory` is referenced: Node builds V8 so that the
 * bytes of every ArrayBuffer live outside the moving heap.
 */
export function addressOf(memory: ArrayBufferView | ArrayBuffer): number {
  return Number(koffi.address(memory));
}

const pinned: (ArrayBufferView | ArrayBuffer)[] = [];

/**
 * Like {@link addressOf}, for memory that is needed as long as the process lives. A constant of a module is collected once nothing but
 * its address is in use, so the address alone does not keep it.
 */
export function permanentAddressOf(memory: ArrayBufferView | ArrayBuffer): number {
  pinned.push(memory);
  return addressOf(memory);
}

/** The `byteLength` bytes at `address`, not copied. The caller keeps the memory mapped while the view is in use. */
export function viewAt(address: number, byteLength: number): ArrayBuffer {
  return koffi.view(BigInt(address), byteLength) as ArrayBuffer;
}
