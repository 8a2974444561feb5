import assert from "node:assert/strict";
import { test } from "node:test";
import { guestMetrics } from "./metrics.js";

const FILES: Readonly<Record<string, string>> = {
  "/proc/stat": "cpu  250 0 100 7000 5 0 1 0 0 0\ncpu0 250 0 100 7000 5 0 1 0 0 0\nintr 5 6\nctxt 1\n",
  "/proc/loadavg": "0.25 0.10 0.05 2/71 312\n",
  "/proc/meminfo":
    "MemTotal:         200044 kB\nMemAvailable:     100000 kB\nActive(anon):       5 kB\nHugePages_Total:       3\n",
};

test("what the kernel counts is told in Prometheus' format, by Kata's names", () => {
  const text = guestMetrics((file) => FILES[file] ?? assert.fail(file));
  for (const line of [
    "# TYPE kata_guest_meminfo gauge",
    'kata_guest_cpu_time{cpu="total",item="user"} 2.5',
    'kata_guest_cpu_time{cpu="0",item="idle"} 70',
    'kata_guest_load{item="load1"} 0.25',
    'kata_guest_tasks{item="cur"} 2',
    'kata_guest_tasks{item="max"} 71',
    'kata_guest_meminfo{item="mem_total"} 204849152'.replace("204849152", `${200044 * 1024}`),
    `kata_guest_meminfo{item="mem_available"} ${100000 * 1024}`,
    'kata_guest_meminfo{item="active_anon"} 5120',
    'kata_guest_meminfo{item="huge_pages_total"} 3',
  ]) {
    assert.ok(text.split("\n").includes(line), `${line} is in ${text}`);
  }
});

test("every line of this machine's own is a comment or a sample", () => {
  for (const line of guestMetrics().trimEnd().split("\n")) {
    assert.match(
      line,
      /^(# (HELP|TYPE) kata_guest_\w+ .+|kata_guest_\w+\{\w+="\w+"(,\w+="\w+")*\} \d+(\.\d+)?)$/,
    );
  }
});
