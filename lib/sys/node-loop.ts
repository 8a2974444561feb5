import { access } from "node:fs/promises";
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

/** Of libuv: how many threads its pool has, read when it starts, and the most that there may be. */
const POOL_VARIABLE = "UV_THREADPOOL_SIZE";
const POOL_THREADS_MAX = 1024;

/** Starts the threads of libuv's pool, unless something has done so before: then there are as many as there were. */
export async function startThreadPool(threads: number): Promise<void> {
  process.env[POOL_VARIABLE] = String(Math.min(threads, POOL_THREADS_MAX));
  await access("/");
}

/** Lets Node's event loop do what it has to do, once, without waiting. */
export function turnNodeLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
