import type { DeviceMetricsReport } from "../../fsd/metrics.js";

/** What metrics need of a device of kata-fsd. */
export type DeviceFigures = Pick<
  DeviceMetricsReport,
  "tag" | "requests" | "errors" | "readBytes" | "writeBytes" | "inodes" | "handles" | "dax"
>;

/**
 * Reads what kata-fsd's metrics socket says. A daemon of another version may leave things out, which count as 0 then.
 *
 * @throws SyntaxError for what is no JSON
 */
export function readDaemonReport(json: string): readonly DeviceFigures[] {
  const devices = fieldsOf(JSON.parse(json))["devices"];
  return Array.isArray(devices) ? devices.map(readDevice) : [];
}

function readDevice(value: unknown): DeviceFigures {
  const device = fieldsOf(value);
  const dax = fieldsOf(device["dax"]);
  const requests = Object.entries(fieldsOf(device["requests"])).map(([name, count]) => [name, number(count)]);
  return {
    tag: typeof device["tag"] === "string" ? device["tag"] : "",
    requests: Object.fromEntries(requests),
    errors: number(device["errors"]),
    readBytes: number(device["readBytes"]),
    writeBytes: number(device["writeBytes"]),
    inodes: number(device["inodes"]),
    handles: number(device["handles"]),
    dax: {
      windowBytes: number(dax["windowBytes"]),
      mappedRanges: number(dax["mappedRanges"]),
      mappedBytes: number(dax["mappedBytes"]),
      unmappedRanges: number(dax["unmappedRanges"]),
      liveRanges: number(dax["liveRanges"]),
      liveBytes: number(dax["liveBytes"]),
      failedMaps: number(dax["failedMaps"]),
    },
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
