import { containerTypeOf } from "../../container-type.js";
import { ShimError, StatusCode } from "../../error.js";
import { JsonReader } from "./json-reader.js";

/** What a pod shares with its host when its containers have no namespace of that type: fields of a PodSpec. */
const HOST_NAMESPACES: ReadonlyMap<string, string> = new Map([
  ["network", "hostNetwork"],
  ["pid", "hostPID"],
  ["ipc", "hostIPC"],
]);

/** Character devices, as major:minor, that each Linux has of itself: those of the guest do as well. */
const OF_EVERY_KERNEL = new Set(["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:229"]);

/**
 * Refuses what a pod asks of its host that a VM cannot give it. Containers outside of pods are let through: their namespaces are
 * what `ctr` makes of its flags.
 *
 * @param config config.json of the sandbox or of one of its containers
 * @throws ShimError INVALID_ARGUMENT naming the field
 */
export function requirePodFeatures(config: unknown): void {
  const spec = JsonReader.of(config, "config.json");
  if (containerTypeOf(spec.textByName("annotations")).kind === "single") return;
  const linux = spec.object("linux");
  const types = new Set(linux.objects("namespaces").map((namespace) => namespace.text("type")));
  for (const [type, field] of HOST_NAMESPACES) {
    if (types.has(type)) continue;
    throw refused(`${field}: true`, `a pod has the ${type} namespace of its virtual machine`);
  }
  // A privileged container is privileged in its guest: it finds the devices of that.
  if (hasEveryDevice(config)) return;
  for (const device of linux.objects("devices")) {
    if (device.text("type") === "b") continue;
    const isOfTheGuest = OF_EVERY_KERNEL.has(`${device.number("major")}:${device.number("minor")}`);
    if (device.text("type") === "c" && isOfTheGuest) continue;
    throw refused(`device ${device.text("path")}`, "devices of the host are not passed to a virtual machine");
  }
}

/** What containerd writes for a privileged container, with every device of the host: nobody has asked for one of them. */
export function hasEveryDevice(config: unknown): boolean {
  return JsonReader.of(config, "config.json")
    .object("linux")
    .object("resources")
    .objects("devices")
    .some(
      (rule) =>
        rule.flag("allow") &&
        ["", "a"].includes(rule.text("type")) &&
        !rule.has("major") &&
        rule.text("access") === "rwm",
    );
}

function refused(field: string, reason: string): ShimError {
  return new ShimError(StatusCode.INVALID_ARGUMENT, `${field} is not supported by kata-fs: ${reason}`);
}
