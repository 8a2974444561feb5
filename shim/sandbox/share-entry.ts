import { join } from "node:path";
import type { RootfsMount } from "../events/task-events.js";
import { GuestPaths } from "./layout.js";

/** A file or directory of the host, to be shown in the share. */
export interface BoundEntry {
  readonly kind: "bind";
  readonly source: string;
  /** Relative to the share; its first part is a container's id. */
  readonly path: string;
  readonly readOnly: boolean;
  /** A layer, or the directory of the upper one, of an overlay that the guest mounts. */
  readonly isOverlay?: true;
  /** True to take along what is mounted below the source. */
  readonly recursive: boolean;
}

/** A file system that is mounted in the share. */
export interface MountedEntry {
  readonly kind: "mount";
  readonly mount: Pick<RootfsMount, "type" | "source" | "options">;
  readonly path: string;
}

/** Something that is put into the share. */
export type ShareEntry = BoundEntry | MountedEntry;

/** Where the guest finds an entry. */
export function guestPath({ path }: ShareEntry): string {
  return join(GuestPaths.shared, path);
}
