import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { WORKLOADS } from "./workloads.js";

// Runs in the guest: in-guest NAME ROUNDS SUBJECT…. Each subject has a turn in each round, and all begin with nothing in the guest's page
// cache. A line of JSON for each sample.

/** A sample as it is printed. */
export interface Sample {
  readonly subject: string;
  readonly round: number;
  readonly ms: number;
  /** By how much the guest's page cache has grown. */
  readonly cachedKib: number;
}

const [name, rounds, ...subjects] = process.argv.slice(2);
const workload = WORKLOADS.find((candidate) => candidate.name === name);
if (workload === undefined) throw new Error(`no workload ${name}`);

for (let round = 0; round < Number(rounds); round++) {
  for (const subject of subjects) {
    const directory = `/mnt/${subject}/${workload.writes ? `rw/${subject}/${round}` : "ro"}`;
    if (workload.writes) mkdirSync(directory, { recursive: true });
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    const cachedBefore = cachedKib();
    const begun = performance.now();
    workload.run(directory);
    const ms = performance.now() - begun;
    const sample: Sample = { subject, round, ms, cachedKib: cachedKib() - cachedBefore };
    process.stdout.write(`${JSON.stringify(sample)}\n`);
    if (workload.writes) rmSync(directory, { recursive: true });
  }
}

function cachedKib(): number {
  const [, kib] = /^Cached:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "latin1")) ?? [];
  if (kib === undefined) throw new Error("/proc/meminfo without Cached");
  return Number(kib);
}
