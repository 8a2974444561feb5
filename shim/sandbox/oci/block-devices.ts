import { JsonReader } from "./json-reader.js";

/** A block device of the host that a container is to have. */
export interface BlockDevice {
  /** In the container. */
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly readOnly: boolean;
}

/**
 * The block devices that a container has, each with what its rule lets the container do.
 *
 * @param config config.json, as it was parsed
 * @throws ShimError INVALID_ARGUMENT
 */
export function blockDevicesOf(config: unknown): BlockDevice[] {
  const linux = JsonReader.of(config, "config.json").object("linux");
  const rules = linux.object("resources").objects("devices");
  return linux
    .objects("devices")
    .filter((device) => device.text("type") === "b")
    .map((device) => {
      const [major, minor] = [device.number("major"), device.number("minor")];
      const mayWrite = rules.some(
        (rule) =>
          rule.flag("allow") &&
          ["", "a", "b"].includes(rule.text("type")) &&
          (!rule.has("major") || rule.number("major") === major) &&
          (!rule.has("minor") || rule.number("minor") === minor) &&
          rule.text("access").includes("w"),
      );
      return { path: device.text("path"), major, minor, readOnly: !mayWrite };
    });
}
