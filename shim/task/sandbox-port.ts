import type { RuntimeOptions } from "../../configs/index.js";
import type { agent } from "../../proto/index.js";
import type { RootfsMount } from "../events/task-events.js";

// What the task service needs of a VM. shim/sandbox/ implements it with QEMU, kata-fsd and Kata's agent.

/** A sandbox among all of a machine: two containerds, and two namespaces of one, may use the same id. */
export interface SandboxIdentity {
  /** containerd's gRPC socket. */
  readonly address: string;
  readonly namespace: string;
  /** Id of the container that the sandbox is brought up for. */
  readonly id: string;
}

/** The sandbox that a container asks for. */
export interface SandboxSpec {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  /** What containerd says about the configuration. */
  readonly runtimeOptions: RuntimeOptions;
  /** Aborted when nobody waits for the sandbox any more: it is not brought up then. */
  readonly abandoned: AbortSignal;
}

export interface ContainerSpec {
  readonly id: string;
  /** Directory with config.json. */
  readonly bundle: string;
  /** How the root file system is mounted; none if the bundle's rootfs is it already. */
  readonly rootfs: readonly RootfsMount[];
  readonly terminal: boolean;
}

/** The virtual machine of a sandbox, and kata-fsd. */
export interface SandboxDescription {
  readonly accelerator: string;
  readonly qemuVersion: string;
  readonly qemuPid: number;
  readonly daemonPid: number;
  /** How often kata-fsd's worker was killed and another one went on. */
  readonly daemonRestarts: number;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly dax: boolean;
}

/** What has become of an upgrade of kata-fsd. */
export interface DaemonUpgrade {
  /** Of the build that serves now. */
  readonly version: string;
  /** How long nobody has served. */
  readonly pauseMs: number;
}

/**
 * A VM with containers in it. The exec id is empty for a container's first process. Calls fail with a ShimError or with the
 * TtrpcError that the agent answered; once {@link died} has resolved, all of them fail.
 */
export interface Sandbox {
  /** QEMU's process. */
  readonly vmmPid: number;
  /** Resolves with the reason when the VM, or what it cannot live without, is gone. */
  readonly died: Promise<Error>;
  /** Makes a container whose first process waits for {@link startContainer}. Nothing is left of it on failure. */
  createContainer(spec: ContainerSpec): Promise<void>;
  startContainer(containerId: string): Promise<void>;
  /** Starts another process in a container. @param process an OCI process, as its JSON was parsed */
  execProcess(containerId: string, execId: string, process: unknown): Promise<void>;
  /** @param all true for every process of the container, not only the named one */
  signalProcess(containerId: string, execId: string, signal: number, all: boolean): Promise<void>;
  /** @returns the exit status; 128 + the signal's number for a process that was killed */
  waitProcess(containerId: string, execId: string): Promise<number>;
  /** Waits until the guest's kernel ends a process for want of memory. @returns the id of the container */
  nextOom(): Promise<string>;
  /** @returns at most `maxBytes` of output once there is any; nothing at its end */
  readStdout(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array>;
  /** As {@link readStdout}; ends at once for a process with a terminal. */
  readStderr(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array>;
  /** @returns how many bytes were taken, which may be fewer than `data` has */
  writeStdin(containerId: string, execId: string, data: Uint8Array): Promise<number>;
  closeStdin(containerId: string, execId: string): Promise<void>;
  resizePty(containerId: string, execId: string, columns: number, rows: number): Promise<void>;
  /** Stops every process of a container where it is, until {@link resumeContainer}. */
  pauseContainer(containerId: string): Promise<void>;
  resumeContainer(containerId: string): Promise<void>;
  /** Changes a container's limits. @param resources the OCI resources, as their JSON was parsed */
  updateContainer(containerId: string, resources: unknown): Promise<void>;
  /** What a container has used, as the guest counts it. */
  statsContainer(containerId: string): Promise<agent.StatsContainerResponse>;
  /** What the sandbox is made of, as it is now. */
  describe(): SandboxDescription;
  /** The end of what the guest wrote to its console. */
  readonly console: string;
  /** The guest's own metrics, in Prometheus' text format; empty from an agent that has none. */
  guestMetrics(): Promise<string>;
  /** kata-fsd's counters, as it says them. */
  daemonMetrics(): Promise<unknown>;
  /**
   * Puts another build of kata-fsd in the place of the one that serves, under the running guest.
   * @param build an absolute path of a fsd.cjs
   * @throws ShimError when it does not come up: the one before goes on
   */
  upgradeDaemon(build: string): Promise<DaemonUpgrade>;
  /** Removes a container that has ended, and what it had of the host. */
  removeContainer(containerId: string): Promise<void>;
  /**
   * Ends the VM and everything that belongs to it on the host, in bounded time whatever the guest does.
   *
   * @throws AggregateError naming what could not be undone
   */
  stop(): Promise<void>;
}

export interface SandboxFactory {
  /** Brings a sandbox up. On failure nothing is left of it. @throws ShimError */
  create(spec: SandboxSpec): Promise<Sandbox>;
}
