import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { Pod } from "./pod.js";

/** Between two reports: the guest could make them as fast as it likes. */
const PAUSE_MS = 100;

/**
 * Calls `report` with the id of each container that the guest says ran out of memory, as long as the VM lives. Without that such a
 * container looks like one that somebody killed.
 */
export async function watchForOom(
  pod: Pod,
  report: (containerId: string) => void,
  logger: Logger,
): Promise<void> {
  try {
    while (!pod.isStopping) {
      report(await pod.sandbox.nextOom());
      await sleep(PAUSE_MS, undefined, { ref: false });
    }
  } catch (error) {
    // The VM has ended, or its agent is too old to know of such events.
    logger.debug("no more news of containers out of memory", { error: messageOf(error) });
  }
}
