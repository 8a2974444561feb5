import { basename, dirname, join, normalize } from "node:path";
import { ShimError, StatusCode } from "../error.js";

/** Where containerd has a cgroup for a sandbox that names none. */
const ROOT_SLICE = "-.slice";
const DEFAULT_SLICE = "system.slice";
const SLICE = ".slice";
/** How Kata's runtimes name a sandbox's cgroup: operators look for it. */
const PREFIX = "kata_";

/**
 * The cgroup of a sandbox on the host, for `linux.cgroupsPath` of the container that it is brought up for. That is a path, and the
 * sandbox's cgroup lies beside the one that runc would make; or systemd's form `slice:prefix:name`, and it lies in the slice.
 *
 * @returns a path from the root of the hierarchy
 * @throws ShimError INVALID_ARGUMENT
 */
export function sandboxCgroupPath(cgroupsPath: string, sandboxId: string): string {
  const parts = cgroupsPath.split(":");
  const [slice = "", prefix = "", name = ""] = parts;
  if (parts.length === 3 && !cgroupsPath.includes("/")) {
    if (name === "") throw refusal(cgroupsPath, "a name");
    const unit = prefix === "" ? name : `${prefix}-${name}`;
    return join(slicePath(slice === "" ? DEFAULT_SLICE : slice), `${unit}.scope`);
  }
  const path = normalize(join("/", cgroupsPath === "" ? sandboxId : cgroupsPath));
  if (cgroupsPath.split("/").includes("..") || path === "/")
    throw refusal(cgroupsPath, "a path below the root");
  return join(dirname(path), `${PREFIX}${basename(path)}`);
}

/** systemd.slice(5): "a-b.slice" is the slice b within a.slice. */
function slicePath(slice: string): string {
  if (slice === ROOT_SLICE) return "/";
  const words = slice.slice(0, -SLICE.length).split("-");
  if (!slice.endsWith(SLICE) || words.some((word) => word === "" || word.includes(".."))) {
    throw refusal(slice, "the name of a slice");
  }
  const slices = words.map((_, index) => `${words.slice(0, index + 1).join("-")}${SLICE}`);
  return join("/", ...slices);
}

function refusal(found: string, needed: string): ShimError {
  return new ShimError(StatusCode.INVALID_ARGUMENT, `linux.cgroupsPath is "${found}"; needed: ${needed}`);
}
