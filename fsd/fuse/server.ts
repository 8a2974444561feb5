import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import type { RequestHandler, SegmentList } from "../../lib/virtio/segment-list.js";
import type { FsdMetrics } from "../metrics.js";
import type { CacheMode, DaxMode } from "../passthrough/export-policy.js";

/** Where the server reports what an operator should see. A winston logger fits. */
export interface FsdLog {
  debug(message: string): unknown;
  info(message: string): unknown;
  warn(message: string): unknown;
  error(message: string): unknown;
}

export interface FuseServerOptions {
  /** The directory that the guest sees as the root: its path, or an open descriptor of it (taken over by the server). */
  readonly root: string | number;
  /** Refuse every modification, whatever the mounts below `root` allow. */
  readonly readOnly: boolean;
  readonly dax: DaxMode;
  /** With `dax: "inode"`: files of read-only mounts are mapped from this size on. */
  readonly daxThresholdBytes: number;
  readonly cache: CacheMode;
  /**
   * Mounts below `root` whose content never changes, as patterns of paths relative to `root`; a component that is a star stands
   * for any one component. The guest caches them without time limit.
   */
  readonly immutableMounts?: readonly string[];
  /** The device's shared-memory window, or null where the device has none. */
  readonly window: ShmemWindow | null;
  readonly metrics: FsdMetrics;
  readonly log: FsdLog;
}

/** One virtio-fs device's FUSE server. All its queues call the same {@link FuseServer.handle}. */
export interface FuseServer extends RequestHandler {
  /** The device was reset or its front end went away: every handle, inode and map of the session is dropped. */
  reset(): void;
  /** Ends the server: like {@link reset}, and the root is closed as well. */
  close(): void;
}

/** @throws SysError if the root cannot be opened; RangeError for options that do not fit together. */
export function createFuseServer(_options: FuseServerOptions): FuseServer {
  return {
    handle(_queueIndex: number, _head: number, _readable: SegmentList, _writable: SegmentList): number {
      return 0;
    },
    reset() {},
    close() {},
  };
}
