import { spawnSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Machine, project } from "../test/e2e/machine.js";
import { findProcess, pssMib } from "./memory.js";
import type { Row } from "./table.js";

const CONTAINERS = 20;
const START_CALLS = 20;
const RUNC = "io.containerd.runc.v2";
const POD = "bench-pod";
const TYPE = "io.kubernetes.cri.container-type";
const SANDBOX = "io.kubernetes.cri.sandbox-id";
const SLEEP = ["/bin/busybox", "sleep", "600"];

/** A pod that grows to twenty containers: what each takes to start, beside runc, and the shim's memory. */
export async function growingPod(machine: Machine): Promise<Row[]> {
  const pod = machine.name(POD);
  const flags = ["--annotation", `${TYPE}=container`, "--annotation", `${SANDBOX}=${pod}`];
  await machine.runDetached(POD, SLEEP, { flags: ["--annotation", `${TYPE}=sandbox`] });
  const started = [POD];
  const [ours, runc]: [number[], number[]] = [[], []];
  try {
    const furtherStart = await furtherStarts(machine, pod);
    const first = shimMib(pod);
    for (let index = 1; index < CONTAINERS; index++) {
      const [inPod, beside] = [`further-${index}`, `runc-${index}`];
      const startedMs = performance.now();
      started.unshift(inPod);
      await machine.runDetached(inPod, SLEEP, { flags });
      const betweenMs = performance.now();
      started.unshift(beside);
      await machine.runDetached(beside, SLEEP, { runtime: RUNC });
      ours.push(betweenMs - startedMs);
      runc.push(performance.now() - betweenMs);
    }
    return [
      {
        title: "start of a further container: launcher called → address printed",
        unit: "ms",
        values: furtherStart,
      },
      { title: "ctr run --detach of a further container, kata-fs", unit: "ms", values: ours },
      { title: "ctr run --detach, runc", unit: "ms", values: runc },
      { title: "PSS of the shim, 1 container", unit: "MiB", values: [first] },
      { title: `PSS of the shim, ${CONTAINERS} containers`, unit: "MiB", values: [shimMib(pod)] },
    ];
  } finally {
    for (const suffix of started) await machine.remove(suffix);
  }
}

/** As containerd starts a shim for a container of a pod that is there: in a bundle beside the pod's own. */
async function furtherStarts(machine: Machine, pod: string): Promise<number[]> {
  const bundle = join(machine.state, "c/io.containerd.runtime.v2.task/default", `${pod}-further`);
  const launcher = join(project, "dist/bin/containerd-shim-kata-fs-v2");
  const words = [
    "-namespace",
    "default",
    "-address",
    machine.containerd.address,
    "-publish-binary",
    "/bin/true",
  ];
  const config = { ociVersion: "1.0.2", annotations: { [TYPE]: "container", [SANDBOX]: pod } };
  const values: number[] = [];
  await mkdir(bundle);
  try {
    await writeFile(join(bundle, "config.json"), JSON.stringify(config));
    // The first one finds cold files.
    for (let index = 0; index <= START_CALLS; index++) {
      const startedMs = performance.now();
      const { status, stdout, stderr } = spawnSync(launcher, [...words, "-id", `${pod}-further`, "start"], {
        cwd: bundle,
        encoding: "utf8",
      });
      const tookMs = performance.now() - startedMs;
      if (status !== 0 || !stdout.startsWith("unix://")) throw new Error(`start: ${stdout}${stderr}`);
      if (index > 0) values.push(tookMs);
    }
  } finally {
    await rm(bundle, { recursive: true });
  }
  return values;
}

function shimMib(sandbox: string): number {
  const pid = findProcess(sandbox, "shim");
  if (pid === undefined) throw new Error(`sandbox ${sandbox} has no shim`);
  return pssMib(pid);
}
