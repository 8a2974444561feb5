import { Machine } from "../test/e2e/machine.js";
import type { Row } from "./table.js";

const SMALL_FILES = 2000;

/** What programs do most to a root file system; /dev/shm is the guest's memory. */
const WORKLOADS = {
  [`unpack ${SMALL_FILES} files of 1 KiB`]:
    "$b rm -rf /files; $b mkdir /files; $b tar -x -f /dev/shm/files.tar -C /files",
  "append 20,000 lines of 64 bytes": "$b rm -f /lines; $b dd if=/dev/zero of=/lines bs=64 count=20000",
  "append a line and fsync it, 100 times, by a process each":
    "$b rm -f /log; i=0; while [ $i -lt 100 ]; do echo line | $b dd of=/log bs=5 seek=$i conv=notrunc,fsync; i=$((i + 1)); done",
};

const PREPARE = `b=/bin/busybox; $b mkdir /dev/shm/f; cd /dev/shm/f
  i=0; while [ $i -lt ${SMALL_FILES} ]; do $b head -c 1024 /dev/zero > f$i; i=$((i + 1)); done
  $b tar -c -f /dev/shm/files.tar -C /dev/shm f; $b rm -r /dev/shm/f`;

/**
 * Writes of a container to its own root file system, with daemon.writeback on and off in turn.
 * @returns for each workload the durations in the guest, and how many times faster the one is than the other
 */
export async function ownWrites(containerd: string, runs: number): Promise<Row[]> {
  const gathering = await Machine.start(containerd, { daemon: { writeback: true } });
  try {
    const direct = await Machine.start(containerd, { daemon: { writeback: false } });
    try {
      return await inTurn(gathering, direct, runs);
    } finally {
      await direct.stop();
    }
  } finally {
    await gathering.stop();
  }
}

async function inTurn(gathering: Machine, direct: Machine, runs: number): Promise<Row[]> {
  const machines = [gathering, direct] as const;
  for (const machine of machines) {
    await machine.runDetached("writes", ["/bin/busybox", "sleep", "3600"]);
    await execute(machine, PREPARE);
  }
  const rows: Row[] = [];
  for (const [title, script] of Object.entries(WORKLOADS)) {
    const gathered: number[] = [];
    const written: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const [on, off] = [await durationMs(gathering, script), await durationMs(direct, script)];
      // The first one finds cold files.
      if (run === 0) continue;
      gathered.push(on);
      written.push(off);
    }
    rows.push(
      { title: `${title}: gathered`, values: gathered, unit: "ms" },
      { title: "… written at once", values: written, unit: "ms" },
      { title: "… ratio", values: written.map((off, index) => off / (gathered[index] ?? off)), unit: "×" },
    );
  }
  for (const machine of machines) await machine.remove("writes");
  return rows;
}

/** By the guest's clock: what starts a process in a container is not to be measured. */
async function durationMs(machine: Machine, script: string): Promise<number> {
  const timed = `$b time -f 'took %e' $b sh -c 'b=/bin/busybox; ${script}'`;
  const [, seconds] = /^took ([\d.]+)$/m.exec(await execute(machine, `b=/bin/busybox; ${timed}`)) ?? [];
  if (seconds === undefined) throw new Error(`no duration of ${script}`);
  return Number(seconds) * 1000;
}

async function execute(machine: Machine, script: string): Promise<string> {
  const { status, stderr } = await machine.exec("writes", ["/bin/sh", "-c", script]);
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stderr;
}
