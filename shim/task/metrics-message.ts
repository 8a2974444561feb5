import { existsSync } from "node:fs";
import { type agent, cgroups, type containerd } from "../../proto/index.js";

/** Which of the two families of statistics containerd and its clients expect on a host. */
export type CgroupVersion = 1 | 2;

const NANOSECONDS_PER_MICROSECOND = 1000;

/** The version of the cgroups that this host runs containers in; 1 for a mixture. */
export function hostCgroupVersion(root = "/sys/fs/cgroup"): CgroupVersion {
  return existsSync(`${root}/cgroup.controllers`) ? 2 : 1;
}

/** What the guest counted for a container, as containerd takes it on a host with that version of cgroups. */
export function metricsOf(
  { cgroup_stats, network_stats }: agent.StatsContainerResponse,
  version: CgroupVersion,
): containerd.Any.$Properties {
  const stats = cgroup_stats ?? {};
  const value =
    version === 1
      ? cgroups.V1.Metrics.encode(version1(stats, network_stats)).finish()
      : cgroups.V2.Metrics.encode(version2(stats)).finish();
  return { type_url: `io.containerd.cgroups.v${version}.Metrics`, value };
}

function version2(stats: agent.CgroupStats.$Properties): cgroups.V2.Metrics.$Properties {
  const { cpu_stats, memory_stats, pids_stats, blkio_stats, hugetlb_stats } = stats;
  const usage = cpu_stats?.cpu_usage;
  const throttling = cpu_stats?.throttling_data;
  const microseconds = (nanoseconds: number | null | undefined) =>
    Math.floor((nanoseconds ?? 0) / NANOSECONDS_PER_MICROSECOND);
  const { usage: memory, swap_usage: swap, stats: counters } = memory_stats ?? {};
  return {
    pids: pids_stats ?? {},
    cpu: {
      usage_usec: microseconds(usage?.total_usage),
      user_usec: microseconds(usage?.usage_in_usermode),
      system_usec: microseconds(usage?.usage_in_kernelmode),
      nr_periods: throttling?.periods ?? 0,
      nr_throttled: throttling?.throttled_periods ?? 0,
      throttled_usec: microseconds(throttling?.throttled_time),
    },
    memory: {
      // The kernel's names are the message's, but for names that it does not have; those are left out in encoding.
      ...counters,
      usage: memory?.usage ?? 0,
      usage_limit: memory?.limit ?? 0,
      max_usage: memory?.max_usage ?? 0,
      swap_usage: swap?.usage ?? 0,
      swap_limit: swap?.limit ?? 0,
      swap_max_usage: swap?.max_usage ?? 0,
    },
    memory_events: { max: memory?.failcnt ?? 0 },
    io: { usage: ioEntries(blkio_stats ?? {}) },
    hugetlb: Object.entries(hugetlb_stats ?? {}).map(([pagesize, { usage: current }]) => ({
      pagesize,
      current: current ?? 0,
    })),
  };
}

/** Version 2 has one entry a device, the agent's protocol one for each device and direction. */
function ioEntries(stats: agent.BlkioStats.$Properties): cgroups.V2.IOEntry.$Properties[] {
  const bytes = stats.io_service_bytes_recursive ?? [];
  const operations = stats.io_serviced_recursive ?? [];
  const devices = new Map(bytes.map(({ major = 0, minor = 0 }) => [`${major}:${minor}`, { major, minor }]));
  return [...devices.values()].map(({ major, minor }) => {
    const sum = (entries: readonly agent.BlkioStatsEntry.$Properties[], op: string) =>
      entries
        .filter((entry) => entry.major === major && entry.minor === minor && entry.op === op)
        .reduce((total, { value }) => total + (value ?? 0), 0);
    return {
      major,
      minor,
      rbytes: sum(bytes, "Read"),
      wbytes: sum(bytes, "Write"),
      rios: sum(operations, "Read"),
      wios: sum(operations, "Write"),
    };
  });
}

function version1(
  stats: agent.CgroupStats.$Properties,
  network: readonly agent.NetworkStats.$Properties[],
): cgroups.V1.Metrics.$Properties {
  const { cpu_stats, memory_stats, pids_stats, blkio_stats, hugetlb_stats } = stats;
  const { cpu_usage, throttling_data } = cpu_stats ?? {};
  return {
    pids: pids_stats ?? {},
    cpu: {
      usage: {
        total: cpu_usage?.total_usage ?? 0,
        kernel: cpu_usage?.usage_in_kernelmode ?? 0,
        user: cpu_usage?.usage_in_usermode ?? 0,
      },
      throttling: throttling_data ?? {},
    },
    memory: memoryVersion1(memory_stats ?? {}),
    blkio: {
      io_service_bytes_recursive: (blkio_stats?.io_service_bytes_recursive ?? []).map((entry) => ({
        ...entry,
      })),
      io_serviced_recursive: (blkio_stats?.io_serviced_recursive ?? []).map((entry) => ({ ...entry })),
    },
    hugetlb: Object.entries(hugetlb_stats ?? {}).map(([pagesize, { usage, max_usage, failcnt }]) => ({
      pagesize,
      usage: usage ?? 0,
      max: max_usage ?? 0,
      failcnt: failcnt ?? 0,
    })),
    network: network.map((counters) => ({ ...counters })),
  };
}

function memoryVersion1(memory: agent.MemoryStats.$Properties): cgroups.V1.MemoryStat.$Properties {
  const count = (name: string) => memory.stats?.[name] ?? 0;
  const counters = {
    cache: memory.cache ?? 0,
    rss: count("anon"),
    mapped_file: count("file_mapped"),
    dirty: count("file_dirty"),
    writeback: count("file_writeback"),
    pg_fault: count("pgfault"),
    pg_maj_fault: count("pgmajfault"),
    inactive_anon: count("inactive_anon"),
    active_anon: count("active_anon"),
    inactive_file: count("inactive_file"),
    active_file: count("active_file"),
    unevictable: count("unevictable"),
  };
  // The guest counts hierarchies always, and a container is one.
  const totals = Object.fromEntries(
    Object.entries(counters).map(([name, value]) => [`total_${name}`, value]),
  );
  const entry = (data: agent.MemoryData.$Properties | null | undefined) => ({
    usage: data?.usage ?? 0,
    limit: data?.limit ?? 0,
    max: data?.max_usage ?? 0,
    failcnt: data?.failcnt ?? 0,
  });
  return {
    ...counters,
    ...totals,
    hierarchical_memory_limit: memory.usage?.limit ?? 0,
    usage: entry(memory.usage),
    swap: entry(memory.swap_usage),
  };
}
