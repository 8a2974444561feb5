import assert from "node:assert/strict";
import { StatusCode, TtrpcError } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import type {
  ContainerSpec,
  DaemonUpgrade,
  Sandbox,
  SandboxDescription,
  SandboxFactory,
  SandboxSpec,
} from "./sandbox-port.js";

/** What a test makes a process of the fake sandbox do. */
export interface FakeProcess {
  /** Makes it print; no text ends its output. */
  print(stream: "stdout" | "stderr", text: string | undefined): void;
  /** Ends it and its output. */
  exit(status: number): void;
  readonly input: Buffer[];
  readonly inputEnded: boolean;
  readonly signals: number[];
  readonly size: readonly [number, number] | undefined;
}

/** For tests only: a sandbox in memory, without a VM, that does what the test says and notes what it was asked. */
export class FakeSandbox implements Sandbox {
  readonly vmmPid = 4242;
  readonly calls: string[] = [];
  readonly died: Promise<Error>;
  #die: (reason: Error) => void = () => {};
  #oom = deferred<string>();
  readonly #processes = new Map<string, Process>();
  /** Calls by name that shall fail. */
  readonly failures = new Map<string, Error>();

  constructor() {
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  /** A process that has been started; the first one of the container without an exec id. */
  process(containerId: string, execId = ""): FakeProcess {
    return this.#process(containerId, execId);
  }

  /** The VM is gone: everything that is under way fails. */
  die(reason: string): void {
    this.#endAll(new Error(reason));
    this.#die(new Error(reason));
  }

  /** The connection to the agent breaks, as it does before the death of a VM is noticed. */
  hangUp(): void {
    const closed = new TtrpcError(StatusCode.UNAVAILABLE, "ttrpc: closed");
    this.#endAll(closed);
    for (const call of ["createContainer", "startContainer", "execProcess"]) this.failures.set(call, closed);
  }

  async createContainer(spec: ContainerSpec): Promise<void> {
    await this.#call(`createContainer ${spec.id}`);
    this.#processes.set(key(spec.id, ""), new Process());
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#call(`startContainer ${containerId}`);
  }

  async execProcess(containerId: string, execId: string, process: unknown): Promise<void> {
    await this.#call(`execProcess ${containerId} ${execId} ${JSON.stringify(process)}`);
    this.#processes.set(key(containerId, execId), new Process());
  }

  async signalProcess(containerId: string, execId: string, signal: number, all: boolean): Promise<void> {
    await this.#call(`signalProcess ${containerId} ${execId} ${signal} ${all}`);
    const process = this.#process(containerId, execId);
    process.signals.push(signal);
    if (signal === 9) process.exit(137);
  }

  waitProcess(containerId: string, execId: string): Promise<number> {
    return this.#process(containerId, execId).exited.promise;
  }

  nextOom(): Promise<string> {
    this.#oom = deferred();
    return this.#oom.promise;
  }

  /** A process of the container is ended for want of memory. */
  runOutOfMemory(containerId: string): void {
    this.#oom.resolve(containerId);
  }

  readStdout(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array> {
    return this.#process(containerId, execId).read("stdout", maxBytes);
  }

  readStderr(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array> {
    return this.#process(containerId, execId).read("stderr", maxBytes);
  }

  async writeStdin(containerId: string, execId: string, data: Uint8Array): Promise<number> {
    this.#process(containerId, execId).input.push(Buffer.from(data));
    return data.length;
  }

  async closeStdin(containerId: string, execId: string): Promise<void> {
    this.#process(containerId, execId).inputEnded = true;
  }

  async resizePty(containerId: string, execId: string, columns: number, rows: number): Promise<void> {
    this.#process(containerId, execId).size = [columns, rows];
  }

  async pauseContainer(containerId: string): Promise<void> {
    await this.#call(`pauseContainer ${containerId}`);
  }

  async resumeContainer(containerId: string): Promise<void> {
    await this.#call(`resumeContainer ${containerId}`);
  }

  async updateContainer(containerId: string, resources: unknown): Promise<void> {
    await this.#call(`updateContainer ${containerId} ${JSON.stringify(resources)}`);
  }

  async statsContainer(containerId: string): Promise<agent.StatsContainerResponse> {
    await this.#call(`statsContainer ${containerId}`);
    const cgroup_stats = { pids_stats: { current: 7 }, memory_stats: { usage: { usage: 4096 } } };
    const bytes = agent.StatsContainerResponse.encode({ cgroup_stats }).finish();
    return agent.StatsContainerResponse.decode(bytes);
  }

  describe(): SandboxDescription {
    const vm = { accelerator: "tcg", qemuVersion: "11.1.3", cpus: 1, memoryMiB: 256, dax: true };
    return { ...vm, qemuPid: this.vmmPid, daemonPid: 4243, daemonRestarts: 2 };
  }

  readonly console = "Linux version 6.12\n";

  async guestMetrics(): Promise<string> {
    await this.#call("guestMetrics");
    return 'kata_guest_load{item="load1"} 0.5\n';
  }

  async upgradeDaemon(build: string): Promise<DaemonUpgrade> {
    await this.#call(`upgradeDaemon ${build}`);
    return { version: "1.2.4", pauseMs: 12.5 };
  }

  async daemonMetrics(): Promise<unknown> {
    await this.#call("daemonMetrics");
    return { devices: [] };
  }

  async removeContainer(containerId: string): Promise<void> {
    await this.#call(`removeContainer ${containerId}`);
  }

  async stop(): Promise<void> {
    await this.#call("stop");
    this.#endAll(new Error("the VM is stopped"));
  }

  async #call(call: string): Promise<void> {
    this.calls.push(call);
    const failure = this.failures.get(call.split(" ", 1)[0] ?? "");
    if (failure !== undefined) throw failure;
  }

  #process(containerId: string, execId: string): Process {
    const process = this.#processes.get(key(containerId, execId));
    assert.ok(process, `no process ${execId} in ${containerId}`);
    return process;
  }

  #endAll(reason: Error): void {
    for (const process of this.#processes.values()) process.lose(reason);
    this.#oom.reject(reason);
  }
}

/** Hands out one fake sandbox. */
export class FakeSandboxFactory implements SandboxFactory {
  readonly sandbox = new FakeSandbox();
  readonly specs: SandboxSpec[] = [];
  failure: Error | undefined;

  async create(spec: SandboxSpec): Promise<Sandbox> {
    this.specs.push(spec);
    if (this.failure !== undefined) throw this.failure;
    return this.sandbox;
  }
}

function key(containerId: string, execId: string): string {
  return `${containerId}/${execId}`;
}

class Process implements FakeProcess {
  readonly input: Buffer[] = [];
  readonly signals: number[] = [];
  readonly exited = deferred<number>();
  inputEnded = false;
  size: readonly [number, number] | undefined;
  readonly #output = { stdout: new Output(), stderr: new Output() };

  print(stream: "stdout" | "stderr", text: string | undefined): void {
    this.#output[stream].push(Buffer.from(text ?? ""));
  }

  exit(status: number): void {
    this.print("stdout", undefined);
    this.print("stderr", undefined);
    this.exited.resolve(status);
  }

  lose(reason: Error): void {
    for (const output of Object.values(this.#output)) output.fail(reason);
    // Nobody may be waiting for it.
    this.exited.promise.catch(() => {});
    this.exited.reject(reason);
  }

  async read(stream: "stdout" | "stderr", maxBytes: number): Promise<Uint8Array> {
    const data = await this.#output[stream].next();
    assert.ok(data.length <= maxBytes);
    return data;
  }
}

class Output {
  readonly #ready: Buffer[] = [];
  #failure: Error | undefined;
  #wake = deferred<void>();

  push(data: Buffer): void {
    this.#ready.push(data);
    this.#wake.resolve();
  }

  fail(reason: Error): void {
    this.#failure = reason;
    this.#wake.resolve();
  }

  async next(): Promise<Buffer> {
    for (;;) {
      const data = this.#ready.shift();
      if (data !== undefined) return data;
      if (this.#failure !== undefined) throw this.#failure;
      this.#wake = deferred();
      await this.#wake.promise;
    }
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

export function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  assert.ok(settle);
  return { promise, ...settle };
}
