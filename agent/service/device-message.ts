import type { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";
import { awaitDisk, type Disk } from "../guest/disk.js";
import { loadModuleGroup } from "../guest/kernel-modules.js";
import type { RuntimeSpec } from "../oci/runtime-spec.js";

/** Devices that were plugged in for a container, by their paths in it. */
export type Devices = ReadonlyMap<string, Disk>;

/**
 * Waits for the devices of a CreateContainer, which are disks on SCSI.
 *
 * @throws AgentError UNIMPLEMENTED for others
 */
export async function findDevices(devices: readonly agent.Device.$Properties[]): Promise<Devices> {
  const found = new Map<string, Disk>();
  for (const { id = "", type = "", container_path: path = "" } of devices) {
    if (type !== "scsi")
      throw new AgentError("UNIMPLEMENTED", `device ${path}: type "${type}" is not supported`);
    loadModuleGroup("pluggedDisks");
    found.set(path, await awaitDisk(id));
  }
  return found;
}

/** Gives the block devices of a container the numbers that they have in this guest. */
export function withDevices(spec: RuntimeSpec, found: Devices): RuntimeSpec {
  const devices = spec.linux.devices.map((device) => {
    const disk = found.get(device.path);
    return disk === undefined ? device : { ...device, major: disk.major, minor: disk.minor };
  });
  return { ...spec, linux: { ...spec.linux, devices } };
}
