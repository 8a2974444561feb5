import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { IMAGE_NAME } from "../setup/run/demo-image.js";
import { type Phase, parseSandboxReport } from "../setup/run/sandbox-report.js";
import { execute, Machine, project } from "../test/e2e/machine.js";
import { writeSection } from "./document.js";
import { frontEndCommand, growthCommand } from "./front-end/command.js";
import { guestCommand } from "./guest/command.js";
import { describeMachine } from "./machine-description.js";
import { processesOf, pssMib, type SandboxProcesses } from "./memory.js";
import { ownWrites } from "./own-writes.js";
import { growingPod } from "./pod.js";
import { formatTable, type Row } from "./table.js";
import { taskCalls } from "./task-calls.js";

// npm run bench: how fast a sandbox starts, and what it costs. The peer in each table is runc, in the same run on the same
// machine, or the sandbox before. npm run bench -- front-end: kata-fsd beside virtiofsd, without virtual machines; -- guest: in one. npm run bench -- calls:
// calls, streams and the containers of a pod. npm run bench -- writes: what a container writes, with and without daemon.writeback. Without a name
// all but the last, and docs/benchmarks.md is written anew.

const [first, ...others] = process.argv.slice(2);
if (first === "front-end") {
  await frontEndCommand(others);
  process.exit();
}
if (first === "guest") {
  await guestCommand(others);
  process.exit();
}
if (first === "growth") {
  await growthCommand(others);
  process.exit();
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "5" }, containerd: { type: "string", default: "1.7" } },
});
const runs = Number(options.runs);

if (positionals.includes("writes")) {
  const rows = await ownWrites(options.containerd, runs);
  console.log(formatTable("Writes of a container to its own root file system", rows));
  process.exit();
}

const reports = await mkdtemp("/tmp/kata-fs-bench-");
const machine = await Machine.start(options.containerd, { runtime: { reportDirectory: reports } });
const about = `${runs} runs each, in turn; containerd ${options.containerd}`;
try {
  const calls = [
    formatTable("Calls and streams of a running container", await taskCalls(machine, runs)),
    formatTable("A pod that grows", await growingPod(machine)),
  ];
  writeSection("calls", [`${about}; ${describeMachine()}`, ...calls].join("\n"));
  if (!positionals.includes("calls")) await wholeDocument();
} catch (error) {
  // Not left to the process's end: what stop finds left over would hide it.
  console.error(error);
  process.exitCode = 1;
} finally {
  await machine.stop();
  await rm(reports, { recursive: true, force: true });
}

async function wholeDocument(): Promise<void> {
  const tables = [
    formatTable("Start of a shim", await shimStart()),
    formatTable("A container from call to exit", await containerRun()),
    formatTable("Memory (PSS)", await memory()),
  ];
  writeSection("sandbox", [`${about}; ${describeMachine()}`, ...tables].join("\n"));
  await frontEndCommand([]);
  await growthCommand([]);
  await guestCommand([]);
}

/** From the call of the launcher until the address is printed, as containerd waits for it. */
async function shimStart(): Promise<Row[]> {
  const values: number[] = [];
  for (let index = 0; index <= runs; index++) {
    const bundle = join(reports, `bundle-${index}`);
    await mkdir(bundle);
    await writeFile(join(bundle, "config.json"), JSON.stringify({ ociVersion: "1.0.2", annotations: {} }));
    const launcher = join(project, "dist/bin/containerd-shim-kata-fs-v2");
    const words = [
      "-namespace",
      "bench",
      "-address",
      machine.containerd.address,
      "-publish-binary",
      "/bin/true",
    ];
    const call = [
      "sh",
      "-c",
      'cd "$0" && exec "$@"',
      bundle,
      launcher,
      ...words,
      "-id",
      machine.name(`start${index}`),
    ];
    const started = performance.now();
    const { status, stdout, stderr } = await execute([...call, "start"]);
    const elapsedMs = performance.now() - started;
    if (status !== 0 || !stdout.toString().startsWith("unix://"))
      throw new Error(`start: ${stdout}${stderr}`);
    // The first one finds cold files.
    if (index > 0) values.push(elapsedMs);
    // `delete` ends the shim by what it noted of itself, which it does right after its answer.
    while (!existsSync(join(bundle, "shim.pid"))) await delay(10);
    await execute([...call, "-bundle", bundle, "delete"]);
  }
  return [{ title: "launcher called → address printed", values, unit: "ms" }];
}

/** `ctr run --rm … true` with kata-fs and with runc, in turn. */
async function containerRun(): Promise<Row[]> {
  const ours: number[] = [];
  const runc: number[] = [];
  const phases = new Map<Phase, number[]>();
  for (let index = 0; index <= runs; index++) {
    const id = `run${index}`;
    const elapsedMs = await timed(() => machine.run(id, ["/bin/busybox", "true"]));
    const runcMs = await timed(() =>
      machine.ctr([
        "run",
        "--rm",
        "--runtime",
        "io.containerd.runc.v2",
        IMAGE_NAME,
        machine.name(`runc${index}`),
        "/bin/busybox",
        "true",
      ]),
    );
    if (index === 0) continue;
    ours.push(elapsedMs);
    runc.push(runcMs);
    const text = await readFile(join(reports, `${machine.name(id)}.json`), "utf8");
    const { phasesMs } = parseSandboxReport(JSON.parse(text));
    for (const [phase, durationMs] of Object.entries(phasesMs) as [Phase, number][]) {
      phases.set(phase, [...(phases.get(phase) ?? []), durationMs]);
    }
  }
  return [
    { title: "ctr run, kata-fs", values: ours, unit: "ms" },
    ...[...phases].map(([phase, values]): Row => ({ title: `… ${phase}`, values, unit: "ms" })),
    { title: "ctr run, runc", values: runc, unit: "ms" },
  ];
}

/** What a sandbox's processes take after the boot, and what a second and a third one add. */
async function memory(): Promise<Row[]> {
  const shim: number[] = [];
  const daemon: number[] = [];
  const qemu: number[] = [];
  const added: number[][] = [[], [], []];
  for (let round = 0; round < runs; round++) {
    const ids: string[] = [];
    const sandboxes: SandboxProcesses[] = [];
    let totalBefore = 0;
    for (const [position, addedMib] of added.entries()) {
      const id = `memory${round}-${position}`;
      await machine.runDetached(id, ["/bin/busybox", "sleep", "600"]);
      ids.push(id);
      sandboxes.push(processesOf(machine.name(id)));
      const total = sandboxes
        .flatMap((pids) => Object.values<number>({ ...pids }))
        .reduce((sum, pid) => sum + pssMib(pid), 0);
      addedMib.push(total - totalBefore);
      totalBefore = total;
      const [first] = sandboxes;
      if (position > 0 || first === undefined) continue;
      shim.push(pssMib(first.shim));
      daemon.push(pssMib(first.daemon));
      qemu.push(pssMib(first.qemu));
    }
    for (const id of ids) await machine.remove(id);
  }
  return [
    { title: "shim", values: shim, unit: "MiB" },
    { title: "kata-fsd", values: daemon, unit: "MiB" },
    {
      title: "shim + kata-fsd",
      values: shim.map((value, index) => value + (daemon[index] ?? 0)),
      unit: "MiB",
    },
    { title: "QEMU with the guest", values: qemu, unit: "MiB" },
    ...["first", "second", "third"].map(
      (name, index): Row => ({
        title: `added by the ${name} sandbox`,
        values: added[index] ?? [],
        unit: "MiB",
      }),
    ),
  ];
}

async function timed(call: () => ReturnType<typeof execute>): Promise<number> {
  const started = performance.now();
  const { status, stderr } = await call();
  if (status !== 0) throw new Error(stderr);
  return performance.now() - started;
}
