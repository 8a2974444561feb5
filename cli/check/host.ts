import { accessSync, constants, existsSync } from "node:fs";
import { mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { TUN_DEVICE } from "../../lib/sys/tap.js";
import { STATE_DIRECTORY } from "../../shim/sandbox/layout.js";
import { AcceleratorError, chooseAccelerator } from "../../shim/vm/accelerator.js";
import { inspectSandboxes } from "../sandboxes/inspect.js";
import { type Finding, failure, ok, warning } from "./finding.js";

/** Node.js that is tested with. */
const NODE_MIN_MAJOR = 20;

/** The machine itself. */
export async function checkHost(): Promise<readonly Finding[]> {
  return [user(), node(), kvm(), cgroups(), tap(), stateDirectory(), await deadSandboxes()];
}

function user(): Finding {
  if (process.geteuid?.() === 0) return ok("user", "root");
  return failure("user", `user id ${process.geteuid?.()}`, "run it as root, as containerd runs the shim");
}

function node(): Finding {
  const found = `${process.version}, ${process.execPath}`;
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major >= NODE_MIN_MAJOR) return ok("Node.js", found);
  return failure("Node.js", found, `install Node.js ${NODE_MIN_MAJOR} or newer, or set KATA_FS_NODE`);
}

function kvm(): Finding {
  try {
    chooseAccelerator("kvm");
    return ok("KVM", "works");
  } catch (error) {
    if (!(error instanceof AcceleratorError)) throw error;
    const [found = ""] = error.message.replace(/^KVM: /, "").split("; needed:");
    const remedy =
      "use a machine with hardware virtualisation (or nested); sandboxes are emulated meanwhile, which is slow";
    return warning("KVM", found, remedy);
  }
}

function cgroups(): Finding {
  const hierarchies = mountedHierarchies();
  const [first] = hierarchies;
  if (first === undefined) {
    return warning(
      "control groups",
      "none are mounted",
      "mount /sys/fs/cgroup: limits of pods do not hold on the host",
    );
  }
  if (first.version === 2) return ok("control groups", "version 2");
  const controllers = hierarchies.flatMap((hierarchy) => hierarchy.controllers);
  const found = `version 1: ${controllers.join(", ")}`;
  if (["cpu", "memory"].every((name) => controllers.includes(name))) return ok("control groups", found);
  return warning("control groups", found, "enable the controllers cpu and memory");
}

/** What a network card of a virtual machine is on the host. */
function tap(): Finding {
  if (existsSync(TUN_DEVICE)) return ok("network", TUN_DEVICE);
  return warning("network", `no ${TUN_DEVICE}`, "modprobe tun: a sandbox with a network does not start");
}

function stateDirectory(): Finding {
  try {
    accessSync("/run", constants.W_OK);
    return ok("state", STATE_DIRECTORY);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return failure("state", found, `make ${STATE_DIRECTORY} writable`);
  }
}

async function deadSandboxes(): Promise<Finding> {
  const sandboxes = await inspectSandboxes();
  const dead = sandboxes.filter(({ condition }) => condition === "dead").length;
  const silent = sandboxes.filter(({ condition }) => condition === "silent").length;
  const found = `${sandboxes.length} in all, ${dead} dead, ${silent} silent`;
  if (dead > 0) return warning("sandboxes", found, "kata-fs gc");
  if (silent > 0) return warning("sandboxes", found, "kata-fs list, and the shim's log in containerd's");
  return ok("sandboxes", found);
}
