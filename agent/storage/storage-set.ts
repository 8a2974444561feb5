import { hasErrno } from "../../lib/sys/errno.js";
import { MNT_DETACH, unmount } from "../../lib/sys/mount.js";
import { AgentError } from "../error.js";
import { log } from "../log.js";
import { STORAGE_DRIVERS } from "./drivers.js";
import type { Storage, StorageDriver } from "./storage.js";

/** Volumes in memory are the pod's: a container that has ended leaves what it wrote to the next. */
const OF_THE_SANDBOX = "/run/kata-containers/sandbox/ephemeral/";

/**
 * The sandbox's storages. Containers that name the same mount point share one storage, which goes with its last user, or with the
 * guest if it is the sandbox's.
 */
export class StorageSet {
  readonly #users = new Map<string, number>();

  constructor(
    private readonly drivers: ReadonlyMap<string, StorageDriver> = STORAGE_DRIVERS,
    private readonly detach: (mountPoint: string) => void = detachIfMounted,
  ) {}

  /**
   * Makes each of `storages`, or counts a further user of one that exists. All or none: those made before a failure are
   * released again.
   *
   * @returns the mount points, in order, for {@link release}.
   * @throws AgentError or SysError of the first that failed.
   */
  acquire(storages: readonly Storage[]): string[] {
    const acquired: string[] = [];
    try {
      for (const storage of storages) {
        this.#acquireOne(storage);
        acquired.push(storage.mountPoint);
      }
    } catch (error) {
      this.release(acquired);
      throw error;
    }
    return acquired;
  }

  /** Takes one user from each; unmounts, last first, what has none left. Does not throw: failures are logged. */
  release(mountPoints: readonly string[]): void {
    for (const mountPoint of [...mountPoints].reverse()) {
      const users = this.#users.get(mountPoint) ?? 0;
      if (users > 1) {
        this.#users.set(mountPoint, users - 1);
      } else if (users === 1 && !mountPoint.startsWith(OF_THE_SANDBOX)) {
        this.#users.delete(mountPoint);
        this.detach(mountPoint);
      }
    }
  }

  #acquireOne(storage: Storage): void {
    const users = this.#users.get(storage.mountPoint) ?? 0;
    if (users === 0) {
      const driver = this.drivers.get(storage.driver);
      if (driver === undefined) {
        throw new AgentError("UNIMPLEMENTED", `storage driver "${storage.driver}" is not supported`);
      }
      driver(storage);
    }
    this.#users.set(storage.mountPoint, users + 1);
  }
}

function detachIfMounted(mountPoint: string): void {
  try {
    unmount(mountPoint, MNT_DETACH);
  } catch (error) {
    // EINVAL: not a mount point, as a local directory is none.
    if (!hasErrno(error, "EINVAL")) log("warn", "storage not unmounted", { mountPoint, error });
  }
}
