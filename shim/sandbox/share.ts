import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  MNT_DETACH,
  MS_BIND,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REMOUNT,
  MS_SHARED,
  mount,
  unmount,
} from "../../lib/sys/mount.js";
import { MountAttribute, MountTree } from "../../lib/sys/mount-tree.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { ShareDirectories } from "./layout.js";
import type { OverlayBroker } from "./overlay-broker.js";
import type { BoundEntry, MountedEntry, ShareEntry } from "./share-entry.js";

/** kata-fsd serves files, and need not open devices or run programs. What the guest may do with them is the guest's affair. */
const CONFINED = MountAttribute.noSuid | MountAttribute.noDevices | MountAttribute.noExec;
const CONFINED_OPTIONS = ["nosuid", "nodev", "noexec"];

/**
 * A directory tree that the guest sees of the host. It lies in the shim's mount namespace and vanishes with it. The tree
 * itself is read-only, so that a guest can write only where something writable was put: mount points are made through a
 * second path to the same directories.
 */
export class Share {
  /** Mount points below the share's root, in the order in which they were mounted. */
  readonly #mounted: string[] = [];

  private constructor(
    private readonly layout: ShareDirectories,
    private readonly broker: OverlayBroker,
  ) {}

  /** @throws SysError */
  static create(layout: ShareDirectories, broker: OverlayBroker): Share {
    mkdirSync(layout.mountPoints, { mode: 0o700 });
    mkdirSync(layout.shared, { mode: 0o700 });
    mount(layout.mountPoints, layout.shared, "", MS_BIND);
    // The two paths stay apart: what is mounted at one must not show at the other, whose content is removed without asking.
    mount("", layout.shared, "", MS_PRIVATE);
    mount("", layout.shared, "", MS_BIND | MS_REMOUNT | MS_RDONLY);
    // kata-fsd has a mount namespace of its own, made when this one is empty: what is mounted here later is to appear there, too.
    mount("", layout.shared, "", MS_SHARED);
    return new Share(layout, broker);
  }

  /**
   * Puts something into the share.
   *
   * @throws ShimError INVALID_ARGUMENT when the source does not exist, FAILED_PRECONDITION when it cannot be mounted
   */
  add(entry: ShareEntry): void {
    if (entry.kind === "bind") this.#bind(entry);
    else this.#mount(entry);
  }

  /** Removes everything at and below `path`. @throws SysError */
  remove(path: string): void {
    this.broker.remove(path);
    for (let index = this.#mounted.length - 1; index >= 0; index--) {
      const mounted = this.#mounted[index] ?? "";
      if (mounted !== path && !mounted.startsWith(`${path}/`)) continue;
      // Detached: the daemon may hold files open until the guest lets go of them.
      unmount(join(this.layout.shared, mounted), MNT_DETACH);
      this.#mounted.splice(index, 1);
    }
    rmSync(join(this.layout.mountPoints, path), { recursive: true, force: true });
  }

  /** Removes the share with all that is mounted in it. @throws SysError */
  destroy(): void {
    this.broker.close();
    // Detaches the whole tree of mounts below it, too.
    unmount(this.layout.shared, MNT_DETACH);
  }

  #bind({ source, path, readOnly, recursive, isOverlay }: BoundEntry): void {
    this.#makeMountPoint(path, isDirectory(source));
    const target = join(this.layout.shared, path);
    try {
      const tree = new MountTree(source, recursive);
      try {
        tree.setAttributes(CONFINED, recursive);
        if (readOnly) tree.setAttributes(MountAttribute.readOnly, false);
        tree.attach(target);
      } finally {
        tree.close();
      }
      this.#mounted.push(path);
      if (isOverlay) this.broker.add(path, target, !readOnly);
    } catch (cause) {
      throw new ShimError(StatusCode.FAILED_PRECONDITION, messageOf(cause), { cause });
    }
  }

  /** By mount(8), which knows loop devices and helpers. */
  #mount({ mount: { type, source, options }, path }: MountedEntry): void {
    this.#makeMountPoint(path, true);
    const target = join(this.layout.shared, path);
    const chosen = [...options, ...CONFINED_OPTIONS].join(",");
    const { status, stderr, error } = spawnSync("mount", ["-t", type, "-o", chosen, "--", source, target], {
      encoding: "utf8",
    });
    if (status !== 0) {
      const reason = error?.message ?? stderr.trim().replaceAll(/\s*\n\s*/g, "; ");
      throw new ShimError(StatusCode.FAILED_PRECONDITION, `mount of ${source}, type ${type}: ${reason}`);
    }
    this.#mounted.push(path);
  }

  #makeMountPoint(path: string, asDirectory: boolean): void {
    const point = join(this.layout.mountPoints, path);
    mkdirSync(asDirectory ? point : dirname(point), { recursive: true, mode: 0o755 });
    if (!asDirectory) closeSync(openSync(point, "w"));
  }
}

function isDirectory(source: string): boolean {
  try {
    return statSync(source).isDirectory();
  } catch (cause) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `the source of a mount: ${messageOf(cause)}`, { cause });
  }
}
