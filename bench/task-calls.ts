import { connect } from "node:net";
import { callUnary, createClient } from "../lib/ttrpc/index.js";
import { containerd } from "../proto/index.js";
import { socketPath } from "../shim/address.js";
import type { Machine } from "../test/e2e/machine.js";
import type { Row } from "./table.js";

const MIB = 1024 * 1024;
const STREAM_MIB = 64;
const STATE_CALLS = 500;

const RUNC = "io.containerd.runc.v2";

/** What calls and streams of one running container cost under kata-fs and under runc, in turn; each list has a value a run. */
export async function taskCalls(machine: Machine, runs: number): Promise<Row[]> {
  const loop = ["/bin/sh", "-c", "while :; do sleep 1000; done"];
  await machine.runDetached("calls", loop);
  await machine.runDetached("calls-runc", loop, { runtime: RUNC });
  try {
    const state = await stateLatencies(machine, "calls");
    const ours: StreamFigures[] = [];
    const runc: StreamFigures[] = [];
    for (let run = 0; run < runs; run++) {
      ours.push(await streamFigures(machine, "calls"));
      runc.push(await streamFigures(machine, "calls-runc"));
    }
    return [
      { title: "State, ttrpc round trip", unit: "ms", values: state },
      ...rowsOf("kata-fs", ours),
      ...rowsOf("runc", runc),
    ];
  } finally {
    await machine.remove("calls");
    await machine.remove("calls-runc");
  }
}

interface StreamFigures {
  readonly execMs: number;
  readonly stdoutMbPerSecond: number;
  readonly stdinMbPerSecond: number;
}

async function streamFigures(machine: Machine, suffix: string): Promise<StreamFigures> {
  const script = `busybox dd if=/dev/zero bs=64k count=${STREAM_MIB * 16} 2>/dev/null`;
  const zeros = Buffer.alloc(STREAM_MIB * MIB);
  return {
    execMs: await tookMs(machine, suffix, ["/bin/busybox", "true"]),
    stdoutMbPerSecond: perSecond(await tookMs(machine, suffix, ["/bin/sh", "-c", script])),
    stdinMbPerSecond: perSecond(await tookMs(machine, suffix, ["/bin/sh", "-c", "cat > /dev/null"], zeros)),
  };
}

function rowsOf(runtime: string, figures: readonly StreamFigures[]): Row[] {
  return [
    { title: `ctr task exec … true, ${runtime}`, unit: "ms", values: figures.map(({ execMs }) => execMs) },
    {
      title: `stdout of an exec, ${STREAM_MIB} MiB, ${runtime}`,
      unit: "MB/s",
      values: figures.map(({ stdoutMbPerSecond }) => stdoutMbPerSecond),
    },
    {
      title: `stdin of an exec, ${STREAM_MIB} MiB, ${runtime}`,
      unit: "MB/s",
      values: figures.map(({ stdinMbPerSecond }) => stdinMbPerSecond),
    },
  ];
}

async function stateLatencies(machine: Machine, suffix: string): Promise<number[]> {
  const id = machine.name(suffix);
  const client = createClient(connect(socketPath(machine.containerd.address, "default", id)));
  try {
    const latenciesMs: number[] = [];
    for (let call = 0; call < STATE_CALLS; call++) {
      const startedMs = performance.now();
      const { StateRequest, StateResponse } = containerd;
      await callUnary(client, "containerd.task.v2.Task", "State", StateRequest, StateResponse, { id });
      latenciesMs.push(performance.now() - startedMs);
    }
    return latenciesMs;
  } finally {
    client.close();
  }
}

async function tookMs(
  machine: Machine,
  suffix: string,
  command: readonly string[],
  input?: Buffer,
): Promise<number> {
  const startedMs = performance.now();
  const { status, stderr } = await machine.exec(suffix, command, input);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}: ${stderr}`);
  return performance.now() - startedMs;
}

function perSecond(tookMs: number): number {
  return (STREAM_MIB * MIB) / 1e6 / (tookMs / 1000);
}
