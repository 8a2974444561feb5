import { readFileSync } from "node:fs";

/** A mounted tree of control groups: cgroups(7). */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** The cgroup that is seen at the mount point, as /proc/PID/cgroup names it; "/" but for containers without a cgroup namespace. */
  readonly root: string;
  /** Of version 1, such as "memory"; none of version 2, whose cgroups say themselves which they have. */
  readonly controllers: readonly string[];
}

const V1_CONTROLLERS = [
  ...["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer"],
  ...["hugetlb", "memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"],
];

/** The hierarchies in which this machine controls resources. */
export function mountedHierarchies(): Hierarchy[] {
  return parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
}

/**
 * Those of version 1 that have controllers; where there are none, that of version 2. A hybrid machine mounts version 2, too, but only
 * for its service manager to find its processes.
 *
 * @param mountinfo proc_pid_mountinfo(5)
 */
export function parseHierarchies(mountinfo: string): Hierarchy[] {
  const found = mountinfo.split("\n").flatMap((line): Hierarchy[] => {
    const [mount = "", fileSystem = ""] = line.split(" - ");
    const [, , , root = "/", mountPoint = ""] = mount.split(" ");
    const [type, , options = ""] = fileSystem.split(" ");
    if (type === "cgroup2") return [{ version: 2, mountPoint, root, controllers: [] }];
    if (type !== "cgroup") return [];
    const controllers = options.split(",").filter((option) => V1_CONTROLLERS.includes(option));
    return controllers.length === 0 ? [] : [{ version: 1, mountPoint, root, controllers }];
  });
  const [second] = found.filter(({ version }) => version === 2);
  // The same hierarchy may be mounted more than once.
  const first = new Map(
    found.filter(({ version }) => version === 1).map((each) => [each.controllers.join(), each]),
  );
  return first.size > 0 ? [...first.values()] : second === undefined ? [] : [second];
}

/**
 * The directory of the cgroup in which a process runs.
 *
 * @param procCgroup proc_pid_cgroup(5)
 */
export function directoryIn(
  { version, mountPoint, root, controllers }: Hierarchy,
  procCgroup: string,
): string {
  const line = procCgroup
    .split("\n")
    .map((text) => /^\d+:([^:]*):(.*)$/.exec(text))
    .find((match) => (version === 2 ? match?.[1] === "" : match?.[1] === controllers.join(",")));
  const path = line?.[2] ?? "/";
  const isBelow = root !== "/" && (path === root || path.startsWith(`${root}/`));
  return `${mountPoint}${isBelow ? path.slice(root.length) : path}`;
}
