import type { CreateTarget, FuzzTarget } from "../target.js";
import { createFuseTarget } from "./fuse.js";
import { createVhostUserTarget } from "./vhost-user.js";
import { createVirtqueueTarget } from "./virtqueue.js";
import { createVsockTarget } from "./vsock.js";

const targets: Readonly<Record<string, CreateTarget>> = {
  fuse: createFuseTarget,
  "vhost-user": createVhostUserTarget,
  virtqueue: createVirtqueueTarget,
  vsock: createVsockTarget,
};

export const targetNames: readonly string[] = Object.keys(targets);

/** @throws RangeError for a name that is none of {@link targetNames} */
export function createTarget(name: string): FuzzTarget {
  const create = targets[name];
  if (create === undefined) throw new RangeError(`no target "${name}"`);
  return create();
}
