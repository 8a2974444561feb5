import { join } from "node:path";
import { containerd } from "../proto/index.js";
import { writeFileAtomically } from "./address.js";
import type { DeletedTask } from "./task/tasks.js";
import { timestampOf } from "./timestamp.js";

/** What the `delete` action prints. */
export function encodeDeleteResponse({ pid, exit }: DeletedTask): Uint8Array {
  const { status: exit_status, exitedAt } = exit;
  return containerd.DeleteResponse.encode({ pid, exit_status, exited_at: timestampOf(exitedAt) }).finish();
}

/**
 * Leaves the answer of `delete` in the bundle of a task of which nothing else is left. containerd runs `delete` for every task,
 * those that ended in order as well; the launcher prints this file then and starts no Node.
 */
export function leaveDeleteResponse(bundle: string, deleted: DeletedTask): void {
  writeFileAtomically(join(bundle, "delete-response"), encodeDeleteResponse(deleted));
}
