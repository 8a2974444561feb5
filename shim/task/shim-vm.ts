import type { RuntimeOptions } from "../../configs/index.js";
import { ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { watchForOom } from "./oom-watch.js";
import { Pod } from "./pod.js";
import type { Exit } from "./process.js";
import type { Sandbox, SandboxDescription, SandboxFactory } from "./sandbox-port.js";

/** What a VM is brought up for. */
export interface VmSpec {
  readonly id: string;
  readonly bundle: string;
  readonly runtimeOptions: RuntimeOptions;
}

/** A VM that no container stands for: containerd's Sandbox API has it. */
export interface OwnSandbox {
  readonly pid: number;
  readonly startedAt: Date;
  /** Whether the VM is there, and not about to go. */
  readonly isRunning: boolean;
  /** How the VM ended. */
  readonly ended: Promise<Exit>;
}

export interface ShimVmOptions {
  readonly namespace: string;
  readonly factory: SandboxFactory;
  readonly logger: Logger;
}

/** What the VM's containers are told. */
export interface VmListener {
  /** No process of the VM runs any more. */
  ended(): void;
  /** The guest's kernel has ended a process for want of memory, says the guest. */
  outOfMemory(containerId: string): void;
}

/** The one VM of a shim, from before it is there until after it has gone. */
export class ShimVm {
  readonly #options: ShimVmOptions;
  readonly #listener: VmListener;
  #isStarting = false;
  #pod: Pod | undefined;
  #ownSandbox: OwnSandbox | undefined;

  constructor(options: ShimVmOptions, listener: VmListener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** QEMU's process, which stands for every process in the VM; 0 before there is one. */
  get pid(): number {
    return this.#pod?.vmmPid ?? 0;
  }

  /** The pod, unless it is not there, or about to go. */
  get running(): Pod | undefined {
    return this.#pod?.isStopping === false ? this.#pod : undefined;
  }

  /** What the VM is; undefined when it is not there, or about to go. */
  get description(): SandboxDescription | undefined {
    return this.running?.sandbox.describe();
  }

  /** What {@link startOwn} has brought up. */
  get ownSandbox(): OwnSandbox | undefined {
    return this.#ownSandbox;
  }

  /** Whether the shim stays for it, whatever its containers are doing. */
  get isKept(): boolean {
    return this.#ownSandbox !== undefined || this.#isStarting;
  }

  /** @throws ShimError FAILED_PRECONDITION when the VM is not there, or about to go */
  get sandbox(): Sandbox {
    return this.#requirePod().sandbox;
  }

  /** The pod that a container wants to join. @throws ShimError FAILED_PRECONDITION when it is not this shim's */
  podOf(sandboxId: string): Pod {
    const pod = this.#requirePod();
    if (pod.id !== sandboxId) {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        `this shim serves sandbox ${pod.id}, not ${sandboxId}`,
      );
    }
    return pod;
  }

  /**
   * @param abandoned aborted when nobody waits for it any more
   * @throws ShimError FAILED_PRECONDITION when there is one already; what made it fail, nothing is left of it then
   */
  async start({ id, bundle, runtimeOptions }: VmSpec, abandoned: AbortSignal): Promise<Pod> {
    const { namespace, factory, logger } = this.#options;
    if (this.#pod !== undefined || this.#isStarting) {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        `this shim serves sandbox ${this.#pod?.id ?? "of another Create"} already`,
      );
    }
    this.#isStarting = true;
    try {
      const sandbox = await factory.create({ id, namespace, bundle, runtimeOptions, abandoned });
      const pod = new Pod(id, sandbox, () => this.#listener.ended(), logger);
      void watchForOom(pod, (containerId) => this.#listener.outOfMemory(containerId), logger);
      this.#pod = pod;
      return pod;
    } finally {
      this.#isStarting = false;
    }
  }

  /** As {@link start}, for the containers of a pod that come later. The shim stays until it is told to go. */
  async startOwn(spec: VmSpec, abandoned: AbortSignal): Promise<OwnSandbox> {
    const pod = await this.start(spec, abandoned);
    this.#ownSandbox = {
      pid: pod.vmmPid,
      startedAt: new Date(),
      get isRunning() {
        return !pod.isStopping;
      },
      ended: pod.ended,
    };
    return this.#ownSandbox;
  }

  /** Ends the VM, if there is one. Resolves with whether nothing is left of it. */
  async stop(): Promise<boolean> {
    return (await this.#pod?.stop()) ?? true;
  }

  /** Ends a VM whose first container could not be made: another one may come. */
  async discard(): Promise<void> {
    await this.stop();
    this.#pod = undefined;
  }

  #requirePod(): Pod {
    const { running } = this;
    if (running === undefined)
      throw new ShimError(StatusCode.FAILED_PRECONDITION, "the sandbox is not running");
    return running;
  }
}
