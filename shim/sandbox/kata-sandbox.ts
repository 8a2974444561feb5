import { join } from "node:path";
import type { agent } from "../../proto/index.js";
import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { ContainerSpec, DaemonUpgrade, Sandbox, SandboxDescription } from "../task/sandbox-port.js";
import type { AgentClient } from "./agent-client.js";
import type { FsDaemon } from "./daemon.js";
import type { Disks } from "./disks.js";
import type { ElasticVm } from "./elastic-vm.js";
import { attemptHooks, type HookedContainer, runHooks } from "./hooks.js";
import { blockDevicesOf } from "./oci/block-devices.js";
import { hasHooks } from "./oci/hooks.js";
import { hasEveryDevice, requirePodFeatures } from "./oci/pod-features.js";
import { readConfig } from "./oci/read-config.js";
import { limitsOfContainer, updatedLimits } from "./oci/resource-limits.js";
import { joinsPidNamespace, processMessage, resourcesMessage, specMessage } from "./oci/spec-message.js";
import { type Phases, timed } from "./phases.js";
import { planRootfs } from "./rootfs.js";
import type { Shares } from "./shares.js";
import type { UndoStack } from "./undo-stack.js";
import { planVolumes } from "./volumes.js";

/** The agent's name for a container's first process. */
const INIT = "";

/** What a sandbox that is up is made of. */
export interface SandboxParts {
  /** Also of the container that it is brought up for, whose hooks have been run. */
  readonly id: string;
  readonly vmmPid: number;
  readonly agent: AgentClient;
  readonly vm: ElasticVm;
  readonly shares: Shares;
  readonly disks: Disks;
  /** Kernel parameters of the pod: a pod without a container of its own has them set with the first that comes. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Resolves when QEMU or kata-fsd has ended. */
  readonly died: Promise<Error>;
  /** How everything on the host is undone. */
  readonly undo: UndoStack;
  /** Filled in until the first container runs. */
  readonly phases: Phases;
  readonly description: Omit<SandboxDescription, "cpus" | "memoryMiB" | "daemonRestarts">;
  /** What is kept of the guest's console. */
  readonly console: () => string;
  readonly daemon: Pick<FsDaemon, "metrics" | "restarts" | "upgrade">;
  /** Called once, before the sandbox ends. */
  readonly beforeStop: () => Promise<void>;
  readonly logger: Logger;
}

/** A VM whose agent answers, with containers in it. */
export class KataSandbox implements Sandbox {
  readonly #parts: SandboxParts;
  /** The containers that have hooks. */
  readonly #hooked = new Map<string, HookedContainer>();
  #hasContainer = false;
  #isLost = false;

  constructor(parts: SandboxParts) {
    this.#parts = parts;
    void parts.died.then(() => {
      this.#isLost = true;
    });
  }

  get vmmPid(): number {
    return this.#parts.vmmPid;
  }

  get died(): Promise<Error> {
    return this.#parts.died;
  }

  async createContainer({ id, bundle, rootfs }: ContainerSpec): Promise<void> {
    const { shares, disks, agent, vm, phases, sysctls } = this.#parts;
    try {
      const [, tookMs] = await timed(async () => {
        const config = readConfig(bundle);
        requirePodFeatures(config);
        const spec = specMessage(config);
        await this.#prepareHooks({ id, bundle, config, pid: this.vmmPid });
        await vm.require(id, limitsOfContainer(config));
        const root = planRootfs(id, rootfs, join(bundle, "rootfs"));
        const volumes = planVolumes(id, spec.Mounts ?? []);
        for (const entry of [...root.entries, ...volumes.entries]) shares.add(entry);
        const devices = await disks.require(id, blockDevicesOf(config), hasEveryDevice(config));
        await agent.createContainer({
          container_id: id,
          exec_id: id,
          storages: [...root.storages, ...volumes.storages],
          devices,
          sandbox_pidns: joinsPidNamespace(config),
          OCI: {
            ...spec,
            Mounts: [...volumes.mounts],
            Root: { ...spec.Root, Path: root.path },
            Linux: {
              ...spec.Linux,
              // Any other block device is the host's.
              Devices: (spec.Linux?.Devices ?? []).filter(
                ({ Type, Path }) => Type !== "b" || devices.some((each) => each.container_path === Path),
              ),
              Sysctl: { ...sysctls, ...spec.Linux?.Sysctl },
            },
          },
        });
      });
      if (!this.#hasContainer) phases.containerStart += tookMs;
    } catch (error) {
      vm.release(id);
      this.#unshare(id);
      await this.#forgetHooks(id);
      await disks.release(id);
      throw error;
    }
  }

  async startContainer(containerId: string): Promise<void> {
    const { agent, phases, logger } = this.#parts;
    const [, tookMs] = await timed(() => agent.startContainer(containerId));
    const hooked = this.#hooked.get(containerId);
    if (hooked !== undefined) await attemptHooks(hooked, "poststart", logger);
    if (this.#hasContainer) return;
    this.#hasContainer = true;
    phases.containerStart += tookMs;
    phases.total = performance.now();
  }

  async execProcess(containerId: string, execId: string, process: unknown): Promise<void> {
    await this.#parts.agent.execProcess({
      container_id: containerId,
      exec_id: execId,
      process: processMessage(process),
    });
  }

  /** To the agent no process named means the container's first, and for SIGKILL all of them. */
  async signalProcess(containerId: string, execId: string, signal: number, all: boolean): Promise<void> {
    await this.#parts.agent.signalProcess(containerId, all ? INIT : execId, signal);
  }

  waitProcess(containerId: string, execId: string): Promise<number> {
    return this.#parts.agent.waitProcess(containerId, execId);
  }

  nextOom(): Promise<string> {
    return this.#parts.agent.nextOom();
  }

  readStdout(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array> {
    return this.#parts.agent.readStream("ReadStdout", containerId, execId, maxBytes);
  }

  readStderr(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array> {
    return this.#parts.agent.readStream("ReadStderr", containerId, execId, maxBytes);
  }

  writeStdin(containerId: string, execId: string, data: Uint8Array): Promise<number> {
    return this.#parts.agent.writeStdin(containerId, execId, data);
  }

  async closeStdin(containerId: string, execId: string): Promise<void> {
    await this.#parts.agent.closeStdin(containerId, execId);
  }

  async resizePty(containerId: string, execId: string, columns: number, rows: number): Promise<void> {
    await this.#parts.agent.resizeTerminal(containerId, execId, columns, rows);
  }

  async pauseContainer(containerId: string): Promise<void> {
    await this.#parts.agent.pauseContainer(containerId);
  }

  async resumeContainer(containerId: string): Promise<void> {
    await this.#parts.agent.resumeContainer(containerId);
  }

  /** The VM grows first: a container that may use more finds it there. */
  async updateContainer(containerId: string, resources: unknown): Promise<void> {
    await this.#parts.vm.require(containerId, updatedLimits(this.#parts.vm.limitsOf(containerId), resources));
    await this.#parts.agent.updateContainer(containerId, resourcesMessage(resources));
  }

  statsContainer(containerId: string): Promise<agent.StatsContainerResponse> {
    return this.#parts.agent.statsContainer(containerId);
  }

  describe(): SandboxDescription {
    const { vm, daemon, description } = this.#parts;
    const { cpus, memoryMiB } = vm.size;
    return { ...description, cpus, memoryMiB, daemonRestarts: daemon.restarts };
  }

  get console(): string {
    return this.#parts.console();
  }

  guestMetrics(): Promise<string> {
    return this.#parts.agent.metrics();
  }

  daemonMetrics(): Promise<unknown> {
    return this.#parts.daemon.metrics();
  }

  upgradeDaemon(build: string): Promise<DaemonUpgrade> {
    return this.#parts.daemon.upgrade(build);
  }

  async removeContainer(containerId: string): Promise<void> {
    await this.#parts.agent.removeContainer(containerId);
    this.#parts.vm.release(containerId);
    this.#unshare(containerId);
    await this.#forgetHooks(containerId);
    await this.#parts.disks.release(containerId);
  }

  /** Lets the guest write back what it has, then ends everything on the host. */
  async stop(): Promise<void> {
    const { agent, beforeStop, undo, logger } = this.#parts;
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        // A VM whose end is not known yet cannot do it; what matters comes next.
        logger.warn(`${what} failed`, { error: messageOf(error) });
      }
    };
    await attempt("the sandbox's report", beforeStop);
    if (!this.#isLost) await attempt("DestroySandbox", () => agent.destroySandbox());
    agent.close();
    for (const containerId of [...this.#hooked.keys()]) await this.#forgetHooks(containerId);
    await undo.undo();
  }

  async #prepareHooks(container: HookedContainer): Promise<void> {
    if (!hasHooks(container.config)) return;
    this.#hooked.set(container.id, container);
    if (container.id === this.#parts.id) return;
    await runHooks(container, "prestart");
    await runHooks(container, "createRuntime");
  }

  /** The sandbox's own are run when all else is undone. */
  async #forgetHooks(containerId: string): Promise<void> {
    const container = this.#hooked.get(containerId);
    this.#hooked.delete(containerId);
    if (container === undefined || containerId === this.#parts.id) return;
    await attemptHooks({ ...container, pid: 0 }, "poststop", this.#parts.logger);
  }

  #unshare(containerId: string): void {
    try {
      this.#parts.shares.remove(containerId);
    } catch (error) {
      // The mounts go with the shim's namespace at the latest.
      this.#parts.logger.warn("the container stays in the share", {
        container: containerId,
        error: messageOf(error),
      });
    }
  }
}
