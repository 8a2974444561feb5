import { connect } from "node:net";
import { callUnary, createClient } from "../lib/ttrpc/index.js";
import { containerd } from "../proto/index.js";
import { socketPath } from "../shim/address.js";
import type { Machine } from "../test/e2e/machine.js";
import type { Row } from "./table.js";

const MIB = 1024 * 1024;
const STREAM_MIB = 64;
const STATE_CALLS = 500;

/** What calls and streams of one running container cost; each list has a value a run. */
export async function taskCalls(machine: Machine, runs: number): Promise<Row[]> {
  await machine.runDetached("calls", ["/bin/sh", "-c", "while :; do sleep 1000; done"]);
  try {
    const state = await stateLatencies(machine, "calls");
    const exec: number[] = [];
    const stdout: number[] = [];
    const stdin: number[] = [];
    const zeros = Buffer.alloc(STREAM_MIB * MIB);
    const script = `busybox dd if=/dev/zero bs=64k count=${STREAM_MIB * 16} 2>/dev/null`;
    for (let run = 0; run < runs; run++) {
      const execMs = await tookMs(machine, ["/bin/busybox", "true"]);
      exec.push(execMs);
      stdout.push(perSecond((await tookMs(machine, ["/bin/sh", "-c", script])) - execMs));
      stdin.push(perSecond((await tookMs(machine, ["/bin/sh", "-c", "cat > /dev/null"], zeros)) - execMs));
    }
    return [
      { title: "State, ttrpc round trip", unit: "ms", values: state },
      { title: "ctr task exec … true", unit: "ms", values: exec },
      { title: `stdout, ${STREAM_MIB} MiB`, unit: "MB/s", values: stdout },
      { title: `stdin, ${STREAM_MIB} MiB`, unit: "MB/s", values: stdin },
    ];
  } finally {
    await machine.remove("calls");
  }
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

async function tookMs(machine: Machine, command: readonly string[], input?: Buffer): Promise<number> {
  const startedMs = performance.now();
  const { status, stderr } = await machine.exec("calls", command, input);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}: ${stderr}`);
  return performance.now() - startedMs;
}

function perSecond(tookMs: number): number {
  return (STREAM_MIB * MIB) / 1e6 / (tookMs / 1000);
}
