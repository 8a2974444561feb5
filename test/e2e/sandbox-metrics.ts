import { readdirSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import type { DeviceMetricsReport } from "../../fsd/metrics.js";

const SANDBOXES = "/run/kata-fs";

/** What kata-fsd of a running sandbox has done for one of its devices. @param tag of the device */
export async function daemonDevice(sandboxId: string, tag: string): Promise<DeviceMetricsReport> {
  const name = readdirSync(SANDBOXES).find((directory) => directory.startsWith(`${sandboxId}-`));
  if (name === undefined) throw new Error(`no sandbox ${sandboxId} in ${SANDBOXES}`);
  let text = "";
  const socket = createConnection(join(SANDBOXES, name, "metrics.sock")).setEncoding("utf8");
  for await (const chunk of socket) text += chunk;
  const { devices }: { devices: readonly DeviceMetricsReport[] } = JSON.parse(text);
  const device = devices.find((each) => each.tag === tag);
  if (device === undefined) throw new Error(`kata-fsd of ${sandboxId} has no device ${tag}`);
  return device;
}
