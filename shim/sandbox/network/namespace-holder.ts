import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { endingWithUs } from "../child.js";

/**
 * Runs `work` with the pid of a process that is in the namespace and does nothing: for those who are told of a namespace by a process
 * before the virtual machine's is there.
 */
export async function withHolder<T>(
  namespace: NetworkNamespace,
  work: (pid: number) => Promise<T>,
): Promise<T> {
  const [file = "", ...args] = endingWithUs(["sleep", "infinity"]);
  const holder: ChildProcess = namespace.run(() => spawn(file, args, { stdio: "ignore" }));
  await once(holder, "spawn");
  try {
    return await work(holder.pid ?? 0);
  } finally {
    const ended = once(holder, "exit");
    holder.kill("SIGKILL");
    await ended;
  }
}
