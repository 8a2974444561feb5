import { dirname } from "node:path";
import {
  Cgroup,
  CgroupError,
  cgroupDirectories,
  processesIn,
  rememberPlace,
  removeCgroup,
  removeIfEmpty,
} from "../../lib/cgroup/cgroup.js";
import { type Hierarchy, mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { readIfThere } from "../../lib/read-if-there.js";
import { writeFileAtomically } from "../address.js";
import { ShimError, StatusCode } from "../error.js";
import { killProcess } from "../kill-process.js";
import type { Logger } from "../log/logger.js";
import { timeLimitMs } from "../time-limits.js";

/** What serves sandboxes without belonging to what they are accounted for, as Kata's runtimes name it. */
const OVERHEAD = "/kata_overhead";

export interface CgroupPlacement {
  /** The sandbox's cgroup, from the root of each hierarchy. */
  readonly path: string;
  /** Of the sandbox among all of this host. */
  readonly name: string;
  /** True: the shim, QEMU and kata-fsd are all in the sandbox's cgroup. False: what runs the guest is, the rest in the overhead's. */
  readonly sandboxOnly: boolean;
  /** Where the directories are noted, for whoever cleans up. */
  readonly record: string;
}

/**
 * The control groups of a sandbox's processes on the host. What the shim starts is where the shim is; so the shim goes first, and the
 * guest's part of it is moved on when it runs.
 */
export class HostCgroups {
  private constructor(
    private readonly sandbox: Cgroup,
    private readonly overhead: Cgroup | undefined,
    private readonly goBack: () => void,
  ) {}

  /**
   * Makes the cgroups and moves this process.
   *
   * @returns undefined on a host whose cgroups cannot be changed, such as a container without the right to
   * @throws ShimError
   */
  static enter(placement: CgroupPlacement, logger: Logger): HostCgroups | undefined {
    const hierarchies = mountedHierarchies();
    if (hierarchies.length === 0) {
      logger.warn("no control groups are mounted: the sandbox is in none of its own");
      return undefined;
    }
    try {
      return HostCgroups.#enter(placement, hierarchies);
    } catch (error) {
      if (!(error instanceof CgroupError)) throw error;
      if (error.code === "EROFS") {
        logger.warn("control groups are read-only: the sandbox is in none of its own", {
          error: error.message,
        });
        return undefined;
      }
      throw new ShimError(StatusCode.FAILED_PRECONDITION, `the sandbox's control group: ${error.message}`, {
        cause: error,
      });
    }
  }

  static #enter({ path, name, sandboxOnly, record }: CgroupPlacement, hierarchies: readonly Hierarchy[]) {
    const goBack = rememberPlace(hierarchies);
    const overheadPath = sandboxOnly ? undefined : `${OVERHEAD}/${name}`;
    const directories = [path, overheadPath].flatMap((each) =>
      each === undefined ? [] : cgroupDirectories(hierarchies, each),
    );
    // Before they are made: whoever kills the shim in between would leave them to nobody.
    writeFileAtomically(record, directories.join("\n"));
    try {
      const sandbox = Cgroup.create(hierarchies, path);
      const overhead = overheadPath === undefined ? undefined : Cgroup.create(hierarchies, overheadPath);
      (overhead ?? sandbox).addProcess(process.pid);
      return new HostCgroups(sandbox, overhead, goBack);
    } catch (error) {
      goBack();
      for (const directory of directories) removeIfEmpty(directory);
      throw error;
    }
  }

  /**
   * Moves what runs the guest to the sandbox's cgroup: the threads of its processors, or where threads cannot be told from their process,
   * the process.
   *
   * @throws CgroupError
   */
  admitGuest(vmmPid: number, vcpuThreads: readonly number[]): void {
    if (this.overhead === undefined) return;
    if (this.sandbox.takesThreads) for (const tid of vcpuThreads) this.sandbox.addThread(tid);
    else this.sandbox.addProcess(vmmPid);
  }

  /** How many processes in them the kernel has killed because there was no memory left. */
  oomKills(): number {
    try {
      return this.sandbox.oomKills() + (this.overhead?.oomKills() ?? 0);
    } catch (error) {
      if (!(error instanceof CgroupError)) throw error;
      // What it would explain is told without it.
      return 0;
    }
  }

  /** Moves this process back to where it was, and removes the cgroups. @throws CgroupError when others are in them */
  async leave(): Promise<void> {
    this.goBack();
    await removeAll([...this.sandbox.directories, ...(this.overhead?.directories ?? [])]);
  }
}

/**
 * Removes the cgroups that a sandbox left whose shim is gone, and kills what is in them: a process that the shim was just starting when it was killed
 * is recorded nowhere else. No record means that there are none.
 *
 * @throws CgroupError
 */
export async function removeRecordedCgroups(record: string): Promise<void> {
  const text = readIfThere(record) ?? "";
  const directories = text.split("\n").filter((line) => line !== "");
  for (const pid of new Set(directories.flatMap(processesIn))) killProcess(pid);
  await removeAll(directories);
}

async function removeAll(directories: readonly string[]): Promise<void> {
  await Promise.all(
    directories.map((directory) => removeCgroup(directory, timeLimitMs("cgroupEmptySeconds"))),
  );
  for (const directory of directories) {
    const parent = dirname(directory);
    // The last sandbox takes it along. Others may have theirs there, or be about to.
    if (parent.endsWith(OVERHEAD)) removeIfEmpty(parent);
  }
}
