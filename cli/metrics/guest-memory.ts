import { management } from "../../proto/index.js";
import type { SandboxRecord } from "../../shim/sandbox/record.js";
import { askShim } from "../sandboxes/shim-client.js";

/** What a guest has in use of its memory, in bytes, as its agent says it; undefined from one that does not answer. */
export async function guestMemoryBytes(sandbox: SandboxRecord): Promise<number | undefined> {
  try {
    const { guest } = await askShim(sandbox, "Metrics", management.MetricsResponse);
    return memoryInUse(guest);
  } catch {
    // It may hang, or have ended meanwhile; the others are of interest all the same.
    return undefined;
  }
}

/** @param metrics of the agent, in Prometheus' text format */
export function memoryInUse(metrics: string): number | undefined {
  const [total, available] = ["mem_total", "mem_available"].map((item) => {
    const line = new RegExp(`^kata_guest_meminfo\\{item="${item}"\\} (\\S+)$`, "m").exec(metrics);
    return Number(line?.[1]);
  });
  const bytes = Number(total) - Number(available);
  return bytes >= 0 ? bytes : undefined;
}
