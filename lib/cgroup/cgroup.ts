import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { directoryIn, type Hierarchy } from "./hierarchies.js";

/** What the kernel refused. */
export class CgroupError extends Error {
  override readonly name = "CgroupError";

  /** @param code such as EROFS, where the file system is mounted read-only */
  constructor(
    message: string,
    readonly code: string | undefined,
    options: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Controllers of version 2 whose figures and limits are wanted for each cgroup. */
const V2_CONTROLLERS = ["cpu", "cpuset", "io", "memory", "pids"];
/** Of a cpuset of version 1, without which it takes no process. */
const CPUSET_FILES = ["cpuset.cpus", "cpuset.mems"];
/** Where the memory controller counts processes that it has killed: version 2, version 1. */
const OOM_FILES = ["memory.events", "memory.oom_control"];
/** Between attempts to remove a cgroup whose processes are about to be gone. */
const RETRY_MS = 5;
/** Another one may remove an empty parent between its making and that of the child. */
const MAKE_ATTEMPTS = 3;

/** One cgroup, in each of the hierarchies of a machine. */
export class Cgroup {
  private constructor(
    private readonly hierarchies: readonly Hierarchy[],
    private readonly path: string,
  ) {}

  /**
   * Makes a cgroup, with those above it.
   *
   * @param path from the root of each hierarchy, such as "/kubepods/pod1/kata_2"
   * @throws CgroupError
   */
  static create(hierarchies: readonly Hierarchy[], path: string): Cgroup {
    const cgroup = new Cgroup(hierarchies, path);
    try {
      for (const hierarchy of hierarchies) make(hierarchy, path);
    } catch (error) {
      // Another one's process or cgroup may be in it by now.
      for (const directory of cgroup.directories) attempt(() => rmdirSync(directory));
      throw error;
    }
    return cgroup;
  }

  get directories(): readonly string[] {
    return cgroupDirectories(this.hierarchies, this.path);
  }

  /** Whether threads of one process can be in cgroups that have nothing to do with each other. */
  get takesThreads(): boolean {
    return this.hierarchies.every(({ version }) => version === 1);
  }

  /** @throws CgroupError */
  addProcess(pid: number): void {
    for (const directory of this.directories) write(join(directory, "cgroup.procs"), `${pid}`);
  }

  /** How many of its processes the kernel has killed for want of memory, in it or above it. 0 where nothing counts them. */
  oomKills(): number {
    return Math.max(
      0,
      ...this.directories.flatMap((directory) => OOM_FILES.map((file) => oomKillsIn(join(directory, file)))),
    );
  }

  /** Of a process whose other threads stay where they are: see {@link takesThreads}. @throws CgroupError */
  addThread(tid: number): void {
    for (const directory of this.directories) write(join(directory, "tasks"), `${tid}`);
  }
}

/** Where a cgroup is, in each of the hierarchies. @param path as for {@link Cgroup.create} */
export function cgroupDirectories(hierarchies: readonly Hierarchy[], path: string): string[] {
  return hierarchies.map(({ mountPoint }) => join(mountPoint, path));
}

/** The processes of one cgroup: cgroup.procs of cgroups(7). None if it is not there, and none that this process's pid namespace lacks. */
export function processesIn(directory: string): number[] {
  let text: string;
  try {
    text = readFileSync(join(directory, "cgroup.procs"), "utf8");
  } catch (error) {
    const code = codeOf(error);
    // Removed meanwhile: before it was opened, or since.
    if (code === "ENOENT" || code === "ENODEV") return [];
    throw new CgroupError(messageOf(error), code, { cause: error });
  }
  return text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

function oomKillsIn(file: string): number {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    // Each hierarchy has the files of its own controllers only.
    if (codeOf(error) === "ENOENT") return 0;
    throw new CgroupError(messageOf(error), codeOf(error), { cause: error });
  }
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}

/**
 * Remembers where this process is.
 * @returns what brings it back there; to the root if that is gone
 */
export function rememberPlace(hierarchies: readonly Hierarchy[]): () => void {
  const procCgroup = readFileSync("/proc/self/cgroup", "utf8");
  const places = hierarchies.map((hierarchy) => [directoryIn(hierarchy, procCgroup), hierarchy.mountPoint]);
  return () => {
    for (const [place = "", root = ""] of places) {
      const enter = (directory: string) => write(join(directory, "cgroup.procs"), `${process.pid}`);
      if (!attempt(() => enter(place))) enter(root);
    }
  };
}

/**
 * Removes a cgroup's directory once its processes are gone.
 *
 * @throws CgroupError when they are not within the limit; a directory that is not there is none
 */
export async function removeCgroup(directory: string, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    try {
      rmdirSync(directory);
      return;
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || performance.now() > deadline) {
        throw new CgroupError(messageOf(error), code, { cause: error });
      }
    }
    await delay(RETRY_MS);
  }
}

/** Removes a cgroup that is empty; one that is not belongs to others. */
export function removeIfEmpty(directory: string): void {
  attempt(() => rmdirSync(directory));
}

function make(hierarchy: Hierarchy, path: string): void {
  const names = path.split("/").filter((name) => name !== "");
  for (let left = MAKE_ATTEMPTS; ; left--) {
    try {
      let directory = hierarchy.mountPoint;
      for (const name of names) {
        if (hierarchy.version === 2) enableControllers(directory);
        directory = join(directory, name);
        mkdirSync(directory, { recursive: true });
        if (hierarchy.controllers.includes("cpuset")) inheritCpuset(directory);
      }
      return;
    } catch (error) {
      if (codeOf(error) === "ENOENT" && left > 1) continue;
      throw new CgroupError(messageOf(error), codeOf(error), { cause: error });
    }
  }
}

/** Has the cgroups below `directory` those controllers that there are. */
function enableControllers(directory: string): void {
  const available = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim().split(/\s+/);
  const enabled = readFileSync(join(directory, "cgroup.subtree_control"), "utf8").trim().split(/\s+/);
  for (const controller of V2_CONTROLLERS) {
    if (!available.includes(controller) || enabled.includes(controller)) continue;
    // Refused where processes are: then there are no figures below, which is all that is lost.
    attempt(() => write(join(directory, "cgroup.subtree_control"), `+${controller}`));
  }
}

function inheritCpuset(directory: string): void {
  for (const file of CPUSET_FILES) {
    if (readFileSync(join(directory, file), "utf8").trim() !== "") continue;
    writeFileSync(join(directory, file), readFileSync(join(dirname(directory), file)));
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new CgroupError(messageOf(error), codeOf(error), { cause: error });
  }
}

/** @returns whether it did not fail */
function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    // Each caller says why it may fail.
    return false;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
