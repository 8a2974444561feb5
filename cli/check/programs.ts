import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import {
  ConfigError,
  type Configuration,
  findConfigurationFile,
  loadConfiguration,
} from "../../configs/index.js";
import { STATE_DIRECTORY } from "../../shim/sandbox/layout.js";
import { probeQemu, requireDax } from "../../shim/vm/probe.js";
import { QemuError } from "../../shim/vm/qemu-process.js";
import { SERVICE_PATH } from "../install/plan.js";
import { checkDaemon } from "./daemon.js";
import { type Finding, failure, ok } from "./finding.js";

/** The configuration, and the programs and files that it names. */
export async function checkPrograms(): Promise<readonly Finding[]> {
  let configuration: Configuration;
  let file: string;
  try {
    file = findConfigurationFile(undefined, process.env);
    configuration = loadConfiguration(file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [found = "", needed = "a configuration that can be read"] = error.message.split("; needed: ");
    return [failure("configuration", found, needed)];
  }
  const { hypervisor, guest, daemon } = configuration;
  return [
    ok("configuration", file),
    await qemu(configuration),
    readable("guest kernel", hypervisor.kernel, "hypervisor.kernel: a bootable kernel image"),
    guest.image !== undefined
      ? readable("guest image", guest.image, "guest.image: a disk image")
      : guest.initrd !== undefined
        ? readable("guest initrd", guest.initrd, "guest.initrd: an initial ramdisk")
        : readable("guest root", guest.root, "guest.root: the guest's root directory"),
    ...(await checkDaemon(daemon)),
    shimCommand(),
  ];
}

async function qemu({ hypervisor, daemon }: Configuration): Promise<Finding> {
  try {
    const capabilities = await probeQemu(hypervisor, STATE_DIRECTORY);
    if (daemon.dax) requireDax(capabilities, hypervisor);
    return ok("QEMU", `${capabilities.version}, ${capabilities.hasDaxDevice ? "with" : "without"} DAX`);
  } catch (error) {
    if (!(error instanceof QemuError)) throw error;
    const [found = "", needed = "hypervisor.argv: a QEMU that runs"] = error.message.split("; needed: ");
    return failure("QEMU", found, needed);
  }
}

function readable(title: string, path: string, needed: string): Finding {
  try {
    accessSync(path, constants.R_OK);
    return ok(title, path);
  } catch (error) {
    return failure(
      title,
      error instanceof Error ? error.message : String(error),
      `${needed}, in the configuration`,
    );
  }
}

/** containerd finds a runtime by the name of its shim in its own PATH. */
function shimCommand(): Finding {
  const name = "containerd-shim-kata-fs-v2";
  const place = SERVICE_PATH.split(delimiter)
    .map((directory) => join(directory, name))
    .find((path) => isExecutable(path));
  if (place !== undefined) return ok("shim", place);
  return failure("shim", `no ${name} in ${SERVICE_PATH}`, "kata-fs install");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
