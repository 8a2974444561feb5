import assert from "node:assert/strict";
import { test } from "node:test";
import { agent, cgroups } from "../../proto/index.js";
import { metricsOf } from "./metrics-message.js";

const STATS = agent.StatsContainerResponse.decode(
  agent.StatsContainerResponse.encode({
    cgroup_stats: {
      cpu_stats: {
        cpu_usage: { total_usage: 5_000, usage_in_kernelmode: 2_000, usage_in_usermode: 3_000 },
        throttling_data: { periods: 4, throttled_periods: 1, throttled_time: 7_000 },
      },
      memory_stats: {
        cache: 11,
        usage: { usage: 100, max_usage: 200, limit: 300, failcnt: 6 },
        swap_usage: { usage: 10 },
        stats: { anon: 50, file: 11, inactive_file: 5, of_another_kernel: 1 },
      },
      pids_stats: { current: 2, limit: 9 },
      blkio_stats: {
        io_service_bytes_recursive: [
          { major: 8, minor: 1, op: "Read", value: 512 },
          { major: 8, minor: 1, op: "Write", value: 1024 },
        ],
        io_serviced_recursive: [{ major: 8, minor: 1, op: "Read", value: 1 }],
      },
      hugetlb_stats: { "2MB": { usage: 4, max_usage: 5, failcnt: 6 } },
    },
    network_stats: [{ name: "eth0", rx_bytes: 1, tx_bytes: 2 }],
  }).finish(),
);

test("hosts with cgroup version 2", () => {
  const { type_url, value } = metricsOf(STATS, 2);
  assert.equal(type_url, "io.containerd.cgroups.v2.Metrics");
  const metrics = cgroups.V2.Metrics.decode(value ?? new Uint8Array());
  assert.deepEqual(
    [metrics.cpu?.usage_usec, metrics.cpu?.system_usec, metrics.cpu?.user_usec, metrics.cpu?.throttled_usec],
    [5, 2, 3, 7],
  );
  assert.deepEqual(
    [
      metrics.memory?.usage,
      metrics.memory?.usage_limit,
      metrics.memory?.max_usage,
      metrics.memory?.swap_usage,
    ],
    [100, 300, 200, 10],
  );
  // containerd's clients take the working set to be usage less inactive_file.
  assert.deepEqual([metrics.memory?.anon, metrics.memory?.file, metrics.memory?.inactive_file], [50, 11, 5]);
  assert.deepEqual([metrics.pids?.current, metrics.pids?.limit], [2, 9]);
  const [io] = metrics.io?.usage ?? [];
  assert.deepEqual(
    [io?.major, io?.minor, io?.rbytes, io?.wbytes, io?.rios, io?.wios],
    [8, 1, 512, 1024, 1, 0],
  );
  assert.deepEqual([metrics.hugetlb[0]?.pagesize, metrics.hugetlb[0]?.current], ["2MB", 4]);
});

test("hosts with cgroup version 1", () => {
  const { type_url, value } = metricsOf(STATS, 1);
  assert.equal(type_url, "io.containerd.cgroups.v1.Metrics");
  const metrics = cgroups.V1.Metrics.decode(value ?? new Uint8Array());
  assert.deepEqual(
    [metrics.cpu?.usage?.total, metrics.cpu?.usage?.kernel, metrics.cpu?.usage?.user],
    [5_000, 2_000, 3_000],
  );
  assert.deepEqual([metrics.memory?.usage?.usage, metrics.memory?.usage?.failcnt], [100, 6]);
  assert.deepEqual([metrics.memory?.rss, metrics.memory?.total_inactive_file], [50, 5]);
  assert.deepEqual(
    [metrics.blkio?.io_service_bytes_recursive[1]?.op, metrics.network[0]?.name],
    ["Write", "eth0"],
  );
});

test("a guest that tells nothing", () => {
  const nothing = agent.StatsContainerResponse.decode(new Uint8Array());
  for (const version of [1, 2] as const) assert.match(metricsOf(nothing, version).type_url ?? "", /Metrics$/);
});
