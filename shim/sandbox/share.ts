import { closeSync, mkdirSync, openSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { MNT_DETACH, MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, mount, unmount } from "../../lib/sys/mount.js";
import { GuestPaths, type SandboxLayout } from "./layout.js";

/** How something of the host is put into the share. */
export interface ShareOptions {
  readonly readOnly: boolean;
  /** True to take along what is mounted below the source. */
  readonly recursive?: boolean;
}

/**
 * The directory tree that the guest sees of the host. It lies in the shim's mount namespace and vanishes with it. The tree
 * itself is read-only, so that a guest can write only where something writable was put: mount points are made through a
 * second path to the same directories.
 */
export class Share {
  /** Mount points below the share's root, in the order in which they were mounted. */
  readonly #mounted: string[] = [];

  private constructor(private readonly layout: SandboxLayout) {}

  /** @throws SysError */
  static create(layout: SandboxLayout): Share {
    mkdirSync(layout.mountPoints, { recursive: true, mode: 0o700 });
    mkdirSync(layout.shared, { mode: 0o700 });
    mount(layout.mountPoints, layout.shared, "", MS_BIND);
    mount("", layout.shared, "", MS_BIND | MS_REMOUNT | MS_RDONLY);
    return new Share(layout);
  }

  /**
   * Shows a file or directory of the host at `path`, relative to the share.
   *
   * @returns where the guest finds it
   * @throws SysError when the source does not exist or cannot be mounted
   */
  bind(source: string, path: string, { readOnly, recursive = false }: ShareOptions): string {
    this.#makeMountPoint(path, statSync(source).isDirectory());
    const target = join(this.layout.shared, path);
    mount(source, target, "", MS_BIND | (recursive ? MS_REC : 0));
    this.#mounted.push(path);
    if (readOnly) mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY);
    return this.guestPath(path);
  }

  /**
   * Makes a directory for a mount that somebody else puts there; {@link adopt} follows.
   *
   * @returns its path on the host
   */
  makeDirectory(path: string): string {
    this.#makeMountPoint(path, true);
    return join(this.layout.shared, path);
  }

  /** Takes a mount at `path` as one of the share's own, to be removed with the others. */
  adopt(path: string): string {
    this.#mounted.push(path);
    return this.guestPath(path);
  }

  /** Where the guest finds `path`. */
  guestPath(path: string): string {
    return join(GuestPaths.shared, path);
  }

  /** Removes everything at and below `path`. @throws SysError */
  remove(path: string): void {
    for (let index = this.#mounted.length - 1; index >= 0; index--) {
      const mounted = this.#mounted[index] ?? "";
      if (mounted !== path && !mounted.startsWith(`${path}/`)) continue;
      this.#mounted.splice(index, 1);
      // Detached: the daemon may hold files open until the guest lets go of them.
      unmount(join(this.layout.shared, mounted), MNT_DETACH);
    }
    rmSync(join(this.layout.mountPoints, path), { recursive: true, force: true });
  }

  /** Removes the share with all that is mounted in it. @throws SysError */
  destroy(): void {
    // Detaches the whole tree of mounts below it, too.
    unmount(this.layout.shared, MNT_DETACH);
  }

  #makeMountPoint(path: string, isDirectory: boolean): void {
    const point = join(this.layout.mountPoints, path);
    mkdirSync(isDirectory ? point : dirname(point), { recursive: true, mode: 0o755 });
    if (!isDirectory) closeSync(openSync(point, "w"));
  }
}
