import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { hasErrno } from "../../lib/sys/errno.js";
import { RUNTIME_NAME } from "../../shim/version.js";
import { type Finding, ok, warning } from "./finding.js";

const SOCKET = "/run/containerd/containerd.sock";
const CONFIG = "/etc/containerd/config.toml";
/** containerd 1.6, the oldest that is tested with. */
const OLDEST = [1, 6] as const;

/** The machine's containerd: none is no failure, a private one may be meant. */
export async function checkContainerd(): Promise<readonly Finding[]> {
  const version = await containerdVersion();
  if (version === undefined) {
    return [
      warning("containerd", "none in PATH", "install containerd 1.6 or newer, unless another one is meant"),
    ];
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  const findings = [
    isOld
      ? warning("containerd", version, `containerd ${OLDEST.join(".")} or newer`)
      : ok("containerd", `${version}${existsSync(SOCKET) ? `, at ${SOCKET}` : ", not running"}`),
  ];
  return [...findings, runtime()];
}

async function containerdVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("containerd", ["--version"]);
    return /\bv?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1];
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Only CRI needs to be told of a runtime; ctr and nerdctl name the shim. */
function runtime(): Finding {
  const title = "CRI runtime";
  if (!existsSync(CONFIG)) return warning(title, `no ${CONFIG}`, "kata-fs install, for Kubernetes");
  if (readFileSync(CONFIG, "utf8").includes(RUNTIME_NAME)) return ok(title, `${RUNTIME_NAME} in ${CONFIG}`);
  return warning(title, `no ${RUNTIME_NAME} in ${CONFIG}`, "kata-fs install, for Kubernetes");
}
