import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { VmSize } from "../vm/description.js";
import { type Monitor, plugCpus, plugMemory } from "../vm/hotplug.js";
import type { AgentClient } from "./agent-client.js";
import type { ResourceLimits } from "./oci/resource-limits.js";
import { vmSize } from "./vm-size.js";

export interface ElasticVmOptions {
  readonly qmp: Monitor;
  readonly agent: Pick<AgentClient, "onlineCpus" | "onlineMemory" | "memoryHotplug" | "probeMemory">;
  /** Of a VM without containers. */
  readonly base: VmSize;
  readonly largest: VmSize;
  /** What the VM was started with. */
  readonly started: VmSize;
  /** Called when there are more processors. */
  readonly onCpusPlugged: () => Promise<void>;
  readonly logger: Logger;
}

const MIB = 2 ** 20;
/**
 * The most that a guest's memory is multiplied by at a time: the kernel's records of new memory, a sixty-fourth of it, come out of what
 * the guest has.
 */
const GROWTH_MAX = 48;

/**
 * A VM that grows with what its containers may use. It never shrinks: what a guest has used once cannot be taken from it without its
 * consent.
 */
export class ElasticVm {
  readonly #options: ElasticVmOptions;
  readonly #containers = new Map<string, ResourceLimits>();
  #size: VmSize;
  /** One growth at a time: containers come side by side. */
  #growing: Promise<void> = Promise.resolve();

  constructor(options: ElasticVmOptions) {
    this.#options = options;
    this.#size = options.started;
  }

  get size(): VmSize {
    return this.#size;
  }

  limitsOf(containerId: string): ResourceLimits | undefined {
    return this.#containers.get(containerId);
  }

  /** Makes room for a container, or for more of it. @throws QmpError, TtrpcError: the VM has what had worked until then */
  require(containerId: string, limits: ResourceLimits): Promise<void> {
    this.#containers.set(containerId, limits);
    this.#growing = this.#growing.catch(() => {}).then(() => this.#grow());
    return this.#growing;
  }

  /** A container is gone: what comes next may have its part. */
  release(containerId: string): void {
    this.#containers.delete(containerId);
  }

  async #grow(): Promise<void> {
    const { base, largest } = this.#options;
    const wanted = vmSize(base, largest, [...this.#containers.values()]);
    if (wanted.cpus > this.#size.cpus) await this.#growCpus(wanted.cpus);
    if (wanted.memoryMiB > this.#size.memoryMiB) await this.#growMemory(wanted.memoryMiB);
  }

  async #growCpus(cpus: number): Promise<void> {
    const { qmp, agent, onCpusPlugged, logger } = this.#options;
    await plugCpus(qmp, cpus - this.#size.cpus);
    this.#size = { ...this.#size, cpus };
    await onCpusPlugged();
    try {
      await agent.onlineCpus(cpus);
      logger.info("the VM has more processors", { cpus });
    } catch (error) {
      // A limit is no promise: the containers run on those that there are.
      logger.warn("the guest's kernel does not take more processors", { cpus, error: messageOf(error) });
    }
  }

  async #growMemory(memoryMiB: number): Promise<void> {
    const { qmp, agent, largest, logger } = this.#options;
    const { blockBytes, needsProbe } = await agent.memoryHotplug();
    const blockMiB = blockBytes / MIB;
    if (blockBytes === 0) {
      logger.warn("the guest's kernel takes no more memory", { memoryMiB: this.#size.memoryMiB });
      return;
    }
    while (this.#size.memoryMiB < memoryMiB) {
      const missingMiB = Math.min(memoryMiB - this.#size.memoryMiB, this.#size.memoryMiB * GROWTH_MAX);
      const roundedMiB = Math.ceil(missingMiB / blockMiB) * blockMiB;
      const roomMiB = Math.floor((largest.memoryMiB - this.#size.memoryMiB) / blockMiB) * blockMiB;
      const addedMiB = Math.min(roundedMiB, roomMiB);
      if (addedMiB <= 0) return;
      const { address, sizeBytes } = await plugMemory(qmp, addedMiB);
      this.#size = { ...this.#size, memoryMiB: this.#size.memoryMiB + addedMiB };
      if (needsProbe) await this.#probe(address, sizeBytes, blockBytes);
      await agent.onlineMemory();
      logger.info("the VM has more memory", { memoryMiB: this.#size.memoryMiB });
    }
  }

  /** Tells a kernel of new memory that its firmware does not tell. */
  async #probe(address: number, sizeBytes: number, blockBytes: number): Promise<void> {
    const blocks = Array.from({ length: sizeBytes / blockBytes }, (_, index) => address + index * blockBytes);
    try {
      await this.#options.agent.probeMemory(blocks);
    } catch (error) {
      // A kernel with the means for both has found it by itself.
      this.#options.logger.debug("memory is not probed", { error: messageOf(error) });
    }
  }
}
