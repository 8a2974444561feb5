import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { DaemonConfiguration } from "../../configs/configuration.js";
import { messageOf } from "../../shim/error.js";
import { daemonProgram } from "../../shim/sandbox/daemon.js";
import { type Finding, failure, ok } from "./finding.js";

/** Namespaces that kata-fsd is born in: fsd/launcher.sh. */
const NAMESPACES = ["mnt", "pid", "net", "ipc"];
/** What a forbidden system call of kata-fsd ends in. */
const SECCOMP_ACTION = "kill_process";
const SECCOMP_ACTIONS = "/proc/sys/kernel/seccomp/actions_avail";

/** kata-fsd itself, and what its sandbox needs of the kernel. */
export async function checkDaemon(daemon: DaemonConfiguration): Promise<readonly Finding[]> {
  return [await program(daemonProgram(daemon)), kernel()];
}

async function program(path: string): Promise<Finding> {
  try {
    const { stdout } = await promisify(execFile)(path, ["--version"]);
    return ok("kata-fsd", `${stdout.trim()}, ${path}`);
  } catch (error) {
    return failure("kata-fsd", messageOf(error), "daemon.path: kata-fsd, in the configuration");
  }
}

function kernel(): Finding {
  const title = "daemon's sandbox";
  const missing = NAMESPACES.filter((name) => !existsSync(`/proc/self/ns/${name}`));
  if (missing.length > 0) {
    return failure(title, `the kernel has no namespaces ${missing.join(", ")}`, "a kernel with namespaces");
  }
  const actions = existsSync(SECCOMP_ACTIONS) ? readFileSync(SECCOMP_ACTIONS, "utf8").trim().split(" ") : [];
  if (!actions.includes(SECCOMP_ACTION)) {
    return failure(
      title,
      `seccomp can do ${actions.join(", ") || "nothing"}`,
      "Linux 4.14 or newer with seccomp filters",
    );
  }
  return ok(title, `namespaces ${NAMESPACES.join(", ")}; seccomp`);
}
