import { AT_EMPTY_PATH, AT_FDCWD, close } from "./file.js";
import { bindLazily, check, permanentAddressOf } from "./libc.js";

/*
 * Mounts by descriptor, since Linux 5.12. A mount gets its attributes before it is to be seen anywhere: what propagates to other mount
 * namespaces has them, which is not so when an attached mount is remounted.
 */

const openTree = bindLazily<(nr: number, dir: number, path: string, flags: number) => number>(
  "int64_t syscall(int64_t nr, int64_t dir, const char *path, uint64_t flags)",
);
const mountSetattr = bindLazily<
  (nr: number, dir: number, path: string, flags: number, attributes: number, bytes: number) => number
>(
  "int64_t syscall(int64_t nr, int64_t dir, const char *path, uint64_t flags, uintptr_t attributes, size_t bytes)",
);
const moveMount = bindLazily<
  (nr: number, from: number, fromPath: string, to: number, toPath: string, flags: number) => number
>(
  "int64_t syscall(int64_t nr, int64_t from, const char *fromPath, int64_t to, const char *toPath, uint64_t flags)",
);

/** The same on all architectures; the C library has functions for them only since version 2.36. */
const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_RECURSIVE = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** MOUNT_ATTR_* of linux/mount.h; bits. */
export const MountAttribute = { readOnly: 0x1, noSuid: 0x2, noDevices: 0x4, noExec: 0x8 } as const;

/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd. */
const attributes = new BigUint64Array(4);
const attributesAddress = permanentAddressOf(attributes);

/** A copy of a mount, or of a tree of them, that is attached nowhere yet. It goes away when it is closed unattached. */
export class MountTree {
  readonly #fd: number;

  /**
   * Copies what is mounted at `path`, as a bind mount does: it takes part in the propagation that its original takes part in.
   *
   * @param recursive with all that is mounted below
   * @throws SysError
   */
  constructor(
    private readonly path: string,
    recursive: boolean,
  ) {
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
    this.#fd = check(openTree(SYS_OPEN_TREE, AT_FDCWD, path, flags), "open_tree", path);
  }

  /** Sets {@link MountAttribute}s on the mount, and on those below it if `recursive` says so. @throws SysError */
  setAttributes(bits: number, recursive: boolean): void {
    attributes[0] = BigInt(bits);
    const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    const { byteLength } = attributes;
    const result = mountSetattr(SYS_MOUNT_SETATTR, this.#fd, "", flags, attributesAddress, byteLength);
    check(result, "mount_setattr", this.path);
  }

  /** Shows it at `target`. @throws SysError */
  attach(target: string): void {
    const result = moveMount(SYS_MOVE_MOUNT, this.#fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
    check(result, "move_mount", `${this.path} to ${target}`);
  }

  close(): void {
    close(this.#fd);
  }
}
