import { bindProgram } from "./libc.js";

const defaultLoop = bindProgram<() => bigint>("void* uv_default_loop()");
const backendFd = bindProgram<(loop: bigint) => number>("int uv_backend_fd(void* loop)");

/**
 * A descriptor that is readable when Node's own event loop, libuv's, has something to do: for a loop that sleeps in a system call of its
 * own and wants Node's signal handlers to run nevertheless. It belongs to Node.
 */
export function nodeLoopFd(): number {
  return backendFd()(defaultLoop()());
}

/** Lets Node's event loop do what it has to do, once, without waiting. */
export function turnNodeLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
