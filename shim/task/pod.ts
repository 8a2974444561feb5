import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { Exit } from "./process.js";
import type { Sandbox } from "./sandbox-port.js";

/** 128 + SIGKILL. */
const KILLED_STATUS = 137;

/** The VM of this shim from Create of its first container on: it ends once, whoever asks first. */
export class Pod {
  readonly vmmPid: number;
  /** Resolves when the VM is gone: with 0 when it was stopped, and as a process that was killed when it was lost. */
  readonly ended: Promise<Exit>;
  #end: (exit: Exit) => void = () => {};
  #isLost = false;
  #stopping: Promise<boolean> | undefined;

  /**
   * @param id of the container that brought the VM up
   * @param onEnd called when the VM is lost, and when it has been stopped: no process of it runs any more
   */
  constructor(
    readonly id: string,
    readonly sandbox: Sandbox,
    private readonly onEnd: () => void,
    private readonly logger: Logger,
  ) {
    this.vmmPid = sandbox.vmmPid;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    void sandbox.died.then((reason) => {
      if (this.#stopping !== undefined) return;
      this.logger.error("the VM is lost", { reason: messageOf(reason) });
      this.#isLost = true;
      this.onEnd();
      void this.stop();
    });
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Ends the VM and all that belongs to it on the host. Resolves with whether nothing is left; what is, is logged. */
  stop(): Promise<boolean> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<boolean> {
    const startedMs = performance.now();
    let isGone = true;
    try {
      await this.sandbox.stop();
      this.logger.info("the VM is stopped", { tookMs: Math.round(performance.now() - startedMs) });
    } catch (error) {
      isGone = false;
      // The delete action, which containerd runs last, finds and ends what is left.
      this.logger.error("the VM did not stop in order", { error: messageOf(error) });
    }
    this.onEnd();
    this.#end({ status: this.#isLost ? KILLED_STATUS : 0, exitedAt: new Date() });
    return isGone;
  }
}
