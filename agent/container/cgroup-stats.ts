import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../lib/sys/errno.js";
import type { agent } from "../../proto/index.js";

const NANOSECONDS_PER_MICROSECOND = 1000;

/** Reads a file of a cgroup; the empty text when there is none, as for a controller that is not on. */
export type CgroupFile = (name: string) => string;

/**
 * What a cgroup (version 2) has used, in the agent protocol's form.
 *
 * @param hugepageSizes as in the names of the files: "2MB"
 */
export function cgroupStats(
  read: CgroupFile,
  hugepageSizes: readonly string[],
): agent.CgroupStats.$Properties {
  return {
    cpu_stats: cpuStats(keyed(read("cpu.stat"))),
    memory_stats: memoryStats(read),
    pids_stats: { current: single(read("pids.current")), limit: single(read("pids.max")) },
    blkio_stats: blkioStats(read("io.stat")),
    hugetlb_stats: Object.fromEntries(
      hugepageSizes.map((size) => {
        const usage = single(read(`hugetlb.${size}.current`));
        const { max = 0 } = keyed(read(`hugetlb.${size}.events`));
        return [size, { usage, failcnt: max }];
      }),
    ),
  };
}

/** {@link cgroupStats} of the cgroup at `directory`. */
export function readCgroupStats(directory: string): agent.CgroupStats.$Properties {
  const names = readdirSync(directory);
  const sizes = names.flatMap((name) => /^hugetlb\.(\w+)\.current$/.exec(name)?.[1] ?? []);
  return cgroupStats((name) => readIfPresent(join(directory, name)), sizes);
}

/**
 * The counters of each network interface but the loopback one.
 *
 * @param text of /proc/net/dev
 */
export function networkStats(text: string): agent.NetworkStats.$Properties[] {
  return text.split("\n").flatMap((line) => {
    const [, name, numbers] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || numbers === undefined || name === "lo") return [];
    const [rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0, , , , , ...sent] = numbers
      .split(/\s+/)
      .map(Number);
    const [tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0] = sent;
    return [
      { name, rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped },
    ];
  });
}

function cpuStats(stat: Readonly<Record<string, number>>): agent.CpuStats.$Properties {
  const nanoseconds = (name: string) => (stat[name] ?? 0) * NANOSECONDS_PER_MICROSECOND;
  return {
    cpu_usage: {
      total_usage: nanoseconds("usage_usec"),
      usage_in_kernelmode: nanoseconds("system_usec"),
      usage_in_usermode: nanoseconds("user_usec"),
    },
    throttling_data: {
      periods: stat["nr_periods"] ?? 0,
      throttled_periods: stat["nr_throttled"] ?? 0,
      throttled_time: nanoseconds("throttled_usec"),
    },
  };
}

function memoryStats(read: CgroupFile): agent.MemoryStats.$Properties {
  const stats = keyed(read("memory.stat"));
  const { max: failcnt = 0 } = keyed(read("memory.events"));
  return {
    cache: stats["file"] ?? 0,
    usage: {
      usage: single(read("memory.current")),
      max_usage: single(read("memory.peak")),
      limit: single(read("memory.max")),
      failcnt,
    },
    swap_usage: {
      usage: single(read("memory.swap.current")),
      max_usage: single(read("memory.swap.peak")),
      limit: single(read("memory.swap.max")),
    },
    // Version 2 counts hierarchies always.
    use_hierarchy: true,
    stats,
  };
}

/** io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …", a line a device. */
function blkioStats(text: string): agent.BlkioStats.$Properties {
  const io_service_bytes_recursive: agent.BlkioStatsEntry.$Properties[] = [];
  const io_serviced_recursive: agent.BlkioStatsEntry.$Properties[] = [];
  for (const line of text.split("\n")) {
    const [, major, minor, counters = ""] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
    if (major === undefined) continue;
    const device = { major: Number(major), minor: Number(minor) };
    const {
      rbytes = 0,
      wbytes = 0,
      rios = 0,
      wios = 0,
    } = keyed(counters.replaceAll("=", " ").replaceAll(/ (?=[a-z])/g, "\n"));
    io_service_bytes_recursive.push({ ...device, op: "Read", value: rbytes });
    io_service_bytes_recursive.push({ ...device, op: "Write", value: wbytes });
    io_serviced_recursive.push({ ...device, op: "Read", value: rios });
    io_serviced_recursive.push({ ...device, op: "Write", value: wios });
  }
  return { io_service_bytes_recursive, io_serviced_recursive };
}

/** A file of "name number" lines. */
function keyed(text: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    text.split("\n").flatMap((line) => {
      const [, name, number] = /^(\w+) (\d+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, Number(number)]];
    }),
  );
}

/** A file of one number; 0 for "max", which is none, and for no file. */
function single(text: string): number {
  return /^\d+\s*$/.test(text) ? Number(text) : 0;
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return "";
    throw error;
  }
}
