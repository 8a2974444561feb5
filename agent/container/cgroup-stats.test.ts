import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupStats, networkStats } from "./cgroup-stats.js";

const FILES: Readonly<Record<string, string>> = {
  "cpu.stat":
    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 7\nnr_throttled 2\nthrottled_usec 30\n",
  "memory.current": "8192\n",
  "memory.peak": "16384\n",
  "memory.max": "1048576\n",
  "memory.swap.max": "max\n",
  "memory.stat": "anon 4096\nfile 2048\nworkingset_refault_file 3\n",
  "memory.events": "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\n",
  "pids.current": "3\n",
  "pids.max": "max\n",
  "io.stat": "253:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n7:1 \n",
  "hugetlb.2MB.current": "2097152\n",
  "hugetlb.2MB.events": "max 4\n",
};

test("a cgroup's files become the protocol's numbers", () => {
  const stats = cgroupStats((name) => FILES[name] ?? "", ["2MB"]);
  assert.deepEqual(stats.cpu_stats, {
    cpu_usage: { total_usage: 1_500_000, usage_in_kernelmode: 500_000, usage_in_usermode: 1_000_000 },
    throttling_data: { periods: 7, throttled_periods: 2, throttled_time: 30_000 },
  });
  assert.deepEqual(stats.memory_stats?.usage, {
    usage: 8192,
    max_usage: 16384,
    limit: 1_048_576,
    failcnt: 5,
  });
  assert.equal(stats.memory_stats?.cache, 2048);
  assert.deepEqual(stats.memory_stats?.stats, { anon: 4096, file: 2048, workingset_refault_file: 3 });
  assert.deepEqual(stats.pids_stats, { current: 3, limit: 0 });
  assert.deepEqual(stats.hugetlb_stats, { "2MB": { usage: 2_097_152, failcnt: 4 } });
});

test("each device of io.stat has an entry for reading and one for writing", () => {
  const { blkio_stats } = cgroupStats((name) => FILES[name] ?? "", []);
  assert.deepEqual(blkio_stats?.io_service_bytes_recursive?.slice(0, 2), [
    { major: 253, minor: 0, op: "Read", value: 4096 },
    { major: 253, minor: 0, op: "Write", value: 512 },
  ]);
  assert.deepEqual(
    blkio_stats?.io_serviced_recursive?.map(({ value }) => value),
    [2, 1, 0, 0],
  );
});

test("a controller that is off counts nothing", () => {
  const stats = cgroupStats(() => "", []);
  assert.equal(stats.memory_stats?.usage?.usage, 0);
  assert.equal(stats.cpu_stats?.cpu_usage?.total_usage, 0);
});

test("the loopback interface is not the network", () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
`;
  assert.deepEqual(networkStats(text), [
    {
      name: "eth0",
      rx_bytes: 1000,
      rx_packets: 10,
      rx_errors: 1,
      rx_dropped: 2,
      tx_bytes: 2000,
      tx_packets: 20,
      tx_errors: 3,
      tx_dropped: 4,
    },
  ]);
});
