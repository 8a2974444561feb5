import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { GuestLayout } from "../../guest/layout.js";
import type { Toolchain } from "../../setup/toolchain.js";
import { FileSystemDaemon } from "../../test/guest/file-system-daemon.js";
import { runGuest } from "../../test/guest/run-guest.js";
import { cpuSecondsOf, processTree } from "../process-tree.js";
import type { Sample } from "./in-guest.js";
import { type Subject, toolsSubject } from "./subjects.js";
import type { Workload } from "./workloads.js";

const MEMORY_MIB = 512;
const DISK_MODULE = "virtio_blk.ko";
const CPU_SAMPLE_MS = 100;
/** A row that takes longer has gone wrong. */
const TIME_LIMIT_MS = 60_000;

/** What a workload came to with one subject, sample by sample. */
export interface Measured {
  readonly subject: string;
  readonly ms: readonly number[];
  readonly cachedKib: readonly number[];
  /** Processor time of the daemon for one run; undefined where QEMU itself does the work. */
  readonly daemonMs: number | undefined;
}

/** Runs a workload in two guests, one after the other, of which only one has devices with a window. @throws Error with a guest's words */
export async function measure(
  workload: Workload,
  subjects: readonly Subject[],
  rounds: number,
  tools: Toolchain,
): Promise<readonly Measured[]> {
  const measured: Measured[] = [];
  for (const wanted of [true, false]) {
    const own = subjects.filter(({ hasWindow }) => hasWindow === wanted);
    measured.push(
      ...(await measureInOne(workload, own, toolsSubject(tools.guestRoot, wanted), rounds, tools)),
    );
  }
  return measured;
}

/** Boots a guest that has the files by all `subjects`, which take turns in each round. */
async function measureInOne(
  workload: Workload,
  subjects: readonly Subject[],
  programs: Subject,
  rounds: number,
  tools: Toolchain,
): Promise<readonly Measured[]> {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-bench-"));
  const mounted = [programs, ...subjects];
  const socketOf = ({ name }: Subject) => join(directory, `${name}.sock`);
  const daemons = new Map<string, FileSystemDaemon>();
  const stop = new AbortController();
  try {
    for (const subject of mounted) {
      const command = subject.daemon?.(socketOf(subject));
      if (command !== undefined) daemons.set(subject.name, await FileSystemDaemon.start(command));
    }
    const cpu = watchProcessorTime(daemons, stop.signal);
    const program = join(directory, "in-guest.cjs");
    await writeFile(program, bundle());
    const modules = diskModules(tools.guestRoot);
    const { status, output, console } = await runGuest({
      qemu: tools.qemu,
      kernel: tools.kernel,
      tools: tools.guestRoot,
      memoryMiB: workload.memoryMiB ?? MEMORY_MIB,
      timeLimitMs: TIME_LIMIT_MS,
      cpu: "max,-erms,-fsrm,-la57,-smap",
      kernelParameters: ["mitigations=off"],
      files: { "in-guest.cjs": program, ...modules },
      devices: mounted.flatMap((subject) => subject.devices(socketOf(subject))),
      script: script(workload, mounted, Object.keys(modules), [
        String(rounds),
        ...subjects.map(({ name }) => name),
      ]),
    });
    if (status !== 0) throw new Error(`${workload.name}: ${output}${console}`);
    stop.abort();
    const samples = output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line): Sample => JSON.parse(line));
    const cpuSeconds = await cpu;
    return subjects.map(({ name, daemon }) => {
      const own = samples.filter(({ subject }) => subject === name);
      return {
        subject: name,
        ms: own.map(({ ms }) => ms),
        cachedKib: own.map(({ cachedKib }) => cachedKib),
        daemonMs: daemon === undefined ? undefined : ((cpuSeconds.get(name) ?? 0) * 1000) / rounds,
      };
    });
  } finally {
    stop.abort();
    for (const daemon of daemons.values()) await daemon.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

function script(
  { name }: Workload,
  mounted: readonly Subject[],
  modules: readonly string[],
  words: readonly string[],
): string {
  const node = `/${GuestLayout.node}`;
  const command = [`${node}/ld.so`, "--library-path", `${node}/lib`, `${node}/node`, "/tmp/in-guest.cjs"];
  return [
    "set -e",
    ...modules.map((path) => `insmod ${path}`),
    ...mounted.map(
      (subject) => `mkdir /mnt/${subject.name}; mount ${subject.mount.join(" ")} /mnt/${subject.name}`,
    ),
    "cp /in-guest.cjs /tmp",
    ...["mnt", "proc", "tmp", "dev"].map((path) => `mount --rbind /${path} /mnt/tools/${path}`),
    `chroot /mnt/tools ${command.join(" ")} '${name}' ${words.join(" ")}`,
    // The daemons' last share of processor time is seen meanwhile.
    "sleep 0.5",
  ].join("\n");
}

/** What the guest's kernel needs for a disk, by their paths in the guest, in the order in which they are loaded. @throws Error for a guest without */
function diskModules(guestRoot: string): Record<string, string> {
  const lists = readFileSync(join(guestRoot, GuestLayout.moduleList), "utf8").split("\n\n");
  const list = lists.find((paths) => paths.includes(`/${DISK_MODULE}`));
  if (list === undefined) throw new Error(`${guestRoot} has no ${DISK_MODULE}`);
  const paths = list.split("\n").filter((path) => path !== "");
  return Object.fromEntries(paths.map((path) => [`/modules/${basename(path)}`, join(guestRoot, path)]));
}

/** @returns seconds of each daemon from now until `signal`; they end with the guest */
async function watchProcessorTime(
  daemons: ReadonlyMap<string, FileSystemDaemon>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const before = new Map<string, number>();
  const latest = new Map<string, number>();
  for (const [name, { pid }] of daemons) before.set(name, cpuSecondsOf(processTree(pid)));
  while (!signal.aborted) {
    for (const [name, { pid }] of daemons) {
      const seconds = cpuSecondsOf(processTree(pid)) - (before.get(name) ?? 0);
      latest.set(name, Math.max(seconds, latest.get(name) ?? 0));
    }
    await delay(CPU_SAMPLE_MS);
  }
  return latest;
}

function bundle(): string {
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL("in-guest.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    write: false,
  });
  const [{ text } = { text: "" }] = outputFiles;
  return text;
}
