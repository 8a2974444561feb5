import { join } from "node:path";
import type { RootfsMount } from "../events/task-events.js";
import { GuestPaths } from "./layout.js";

interface Shown {
  /** Relative to the share; its first part is a container's id. */
  readonly path: string;
  /** Nobody outside of this sandbox changes it while a container uses it. */
  readonly isOwn?: true;
}

/** A file or directory of the host, to be shown in a share. */
export interface BoundEntry extends Shown {
  readonly kind: "bind";
  readonly source: string;
  readonly readOnly: boolean;
  /** A layer, or the directory of the upper one, of an overlay that the guest mounts. */
  readonly isOverlay?: true;
  /** True to take along what is mounted below the source. */
  readonly recursive: boolean;
}

/** A file system that is mounted in a share. */
export interface MountedEntry extends Shown {
  readonly kind: "mount";
  readonly mount: Pick<RootfsMount, "type" | "source" | "options">;
}

/** Something that is put into a share. */
export type ShareEntry = BoundEntry | MountedEntry;

/** Where the guest finds an entry. */
export function guestPath({ path, isOwn }: ShareEntry): string {
  return join(isOwn ? GuestPaths.own : GuestPaths.shared, path);
}
