import { spawnSync } from "node:child_process";
import { readFileSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findConfigurationFile, loadConfiguration } from "../configs/index.js";
import { socketPath } from "./address.js";
import type { ShimArgs } from "./args.js";
import { readAnnotations } from "./bundle.js";
import { containerTypeOf } from "./container-type.js";
import { encodeDeleteResponse } from "./delete-response.js";
import { messageOf } from "./error.js";
import { killProcess } from "./kill-process.js";
import { runningShimPid } from "./shim-process.js";
import type { SandboxIdentity } from "./task/sandbox-port.js";
import { setTimeLimits, timeLimitMs } from "./time-limits.js";

/** 128 + SIGKILL: what became of a task whose shim did not end it in order. */
const KILLED_STATUS = 137;

/** Ends what is left of a sandbox on the host: QEMU, kata-fsd, mounts, directories. Must be harmless when nothing is. */
export type CleanUpSandbox = (sandbox: SandboxIdentity) => Promise<void>;

/** Has the host take back what its hooks have prepared for a container. @throws when one of them fails */
export type RunLastHooks = (id: string, bundle: string) => Promise<void>;

/** What is left to do for a task whose shim is gone. */
export interface CleanUp {
  readonly cleanUpSandbox: CleanUpSandbox;
  readonly runLastHooks: RunLastHooks;
}

/**
 * The `delete` action, for a task whose shim is gone or hangs: ends what belongs to it, and prints a DeleteResponse. The guest is not
 * asked for anything. What cannot be cleaned up is reported on stderr, which containerd logs; the response is printed in any
 * case, since without it containerd keeps the task for ever.
 *
 * @returns the process's exit status
 */
export async function deleteTask(args: ShimArgs, bundle: string, rest: CleanUp): Promise<number> {
  await attempt("the configuration", readTimeLimits, "not read");
  const limitMs = timeLimitMs("deleteSeconds");
  const limit = new AbortController();
  const timeout = sleep(limitMs, "timeout", { signal: limit.signal });
  const outcome = await Promise.race([cleanUp(args, bundle, rest), timeout]);
  limit.abort();
  if (outcome === "timeout") warn(`clean-up of ${args.id} is not complete after ${limitMs} ms`);
  process.stdout.write(
    encodeDeleteResponse({ pid: 0, exit: { status: KILLED_STATUS, exitedAt: new Date() } }),
  );
  return 0;
}

async function cleanUp(args: ShimArgs, bundle: string, rest: CleanUp): Promise<void> {
  if (ownsSandbox(bundle)) {
    await attempt("the shim", () => killShim(bundle));
    await attempt("the sandbox", () => rest.cleanUpSandbox(args));
    await attempt("the socket", () =>
      rmSync(socketPath(args.address, args.namespace, args.id), { force: true }),
    );
  }
  await attempt("its last hook", () => rest.runLastHooks(args.id, bundle), "not run");
  await attempt("the rootfs", () => unmountRootfs(bundle));
}

/** Whether the task brought the VM up. Of a bundle that cannot be read it is assumed: there is nothing under the id of a task that did not. */
function ownsSandbox(bundle: string): boolean {
  try {
    return containerTypeOf(readAnnotations(bundle)).kind !== "pod-container";
  } catch (error) {
    warn(messageOf(error));
    return true;
  }
}

/** Kills a shim that hangs, and waits until it is gone: its mount namespace goes with its last process. */
async function killShim(bundle: string): Promise<void> {
  const pid = runningShimPid(bundle);
  if (pid === undefined) return;
  killProcess(pid);
  while (runningShimPid(bundle) !== undefined) await sleep(5);
}

/** containerd refuses to remove a bundle whose rootfs is mounted. */
function unmountRootfs(bundle: string): void {
  const rootfs = join(realpathSync(bundle), "rootfs");
  const mounts = mountPoints().filter((mountPoint) => mountPoint === rootfs).length;
  for (let i = 0; i < mounts; i++) {
    const { status, stderr } = spawnSync("umount", ["-l", rootfs], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  }
}

/** Mount points of this namespace; a space within one is written as \040 in proc_pid_mountinfo(5). */
function mountPoints(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) =>
      (line.split(" ")[4] ?? "").replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
}

/** Of the machine: what containerd and the pod said of the configuration went with the shim. @throws ConfigError */
function readTimeLimits(): void {
  setTimeLimits(loadConfiguration(findConfigurationFile(undefined, process.env)).timeLimits);
}

async function attempt(
  what: string,
  step: () => void | Promise<void>,
  without = "not cleaned up",
): Promise<void> {
  try {
    await step();
  } catch (error) {
    warn(`${what} is ${without}: ${messageOf(error)}`);
  }
}

function warn(message: string): void {
  process.stderr.write(`${message}\n`);
}
