import { setTimeout as sleep } from "node:timers/promises";
import { StatusCode, TtrpcError } from "../../lib/ttrpc/index.js";
import { timeLimitMs } from "../time-limits.js";
import type { Sandbox } from "./sandbox-port.js";

/**
 * The outcome of a call to the guest; if the guest could not be reached because its VM died, the reason of that. The connection
 * to the agent breaks before the end of QEMU is noticed, but what the user must read is why QEMU ended.
 */
export async function orLoss<T>(sandbox: Sandbox, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof TtrpcError) || error.code !== StatusCode.UNAVAILABLE) throw error;
    throw await Promise.race([sandbox.died, sleep(timeLimitMs("lossSeconds"), error, { ref: false })]);
  }
}
