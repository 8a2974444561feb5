import { setTimeout as sleep } from "node:timers/promises";
import { readAnnotations } from "../bundle.js";
import { type ContainerType, containerTypeOf } from "../container-type.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { EventPublisher, RootfsMount } from "../events/task-events.js";
import { withFields } from "../log/logger.js";
import type { StdioConfig } from "../stdio/process-io.js";
import { timeLimitMs } from "../time-limits.js";
import { Container } from "./container.js";
import { execProcess, initProcess } from "./guest-process.js";
import { orLoss } from "./loss.js";
import type { Pod } from "./pod.js";
import { type Exit, Process, type ProcessListener } from "./process.js";
import { ShimVm, type ShimVmOptions, type VmSpec } from "./shim-vm.js";

/** What Create asks for. */
export interface CreateTask extends VmSpec {
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioConfig;
}

/** What Exec asks for. */
export interface ExecTask {
  readonly id: string;
  readonly execId: string;
  /** The OCI process, as its JSON was parsed. */
  readonly process: unknown;
  readonly stdio: StdioConfig;
}

/** What Delete answers. */
export interface DeletedTask {
  readonly pid: number;
  readonly exit: Exit;
}

export interface TasksOptions extends ShimVmOptions {
  readonly events: EventPublisher;
  /** Called when a pod's container is deleted and nothing of it is left; its VM lives on. */
  readonly onContainerGone: (bundle: string, deleted: DeletedTask) => void;
}

/**
 * The containers of this shim and the VM they share, as containerd's task API sees them. Ids that are unknown are refused with
 * NOT_FOUND, calls that do not fit the state with FAILED_PRECONDITION.
 */
export class Tasks {
  readonly #options: TasksOptions;
  readonly #containers = new Map<string, Container>();
  /** Ids between the beginning and the end of their Create. */
  readonly #creating = new Set<string>();
  readonly #deleting = new Map<string, Promise<DeletedTask>>();
  /** The VM that they share. */
  readonly vm: ShimVm;
  #lastDeleted: DeletedTask | undefined;

  constructor(options: TasksOptions) {
    this.#options = options;
    this.vm = new ShimVm(options, {
      ended: () => this.#loseProcesses(),
      outOfMemory: (containerId) => this.#reportOom(containerId),
    });
  }

  /** Whether the shim has anything to serve. */
  get isEmpty(): boolean {
    return this.#containers.size === 0 && this.#creating.size === 0 && !this.vm.isKept;
  }

  get containers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  /** The container that the VM was brought up for, once it is deleted. */
  get lastDeleted(): DeletedTask | undefined {
    return this.#lastDeleted;
  }

  /**
   * @param abandoned aborted when nobody waits for the answer any more: what a client does not know of, it cannot delete
   * @throws ShimError ALREADY_EXISTS, or what made the creation fail; nothing is left of it then
   */
  async create(task: CreateTask, abandoned: AbortSignal): Promise<number> {
    if (this.#containers.has(task.id) || this.#creating.has(task.id)) {
      throw new ShimError(StatusCode.ALREADY_EXISTS, `container ${task.id}: already exists`);
    }
    this.#creating.add(task.id);
    try {
      const type = containerTypeOf(readAnnotations(task.bundle));
      const pod =
        type.kind === "pod-container" ? this.vm.podOf(type.sandboxId) : await this.vm.start(task, abandoned);
      const container = await this.#createIn(pod, type, task, abandoned);
      this.#containers.set(task.id, container);
      this.#options.events.publish({
        topic: "/tasks/create",
        containerId: task.id,
        bundle: task.bundle,
        rootfs: task.rootfs,
        stdio: task.stdio,
        pid: pod.vmmPid,
      });
      return pod.vmmPid;
    } finally {
      this.#creating.delete(task.id);
    }
  }

  /** Starts a container, or a process that Exec added to it. */
  async start(id: string, execId: string): Promise<number> {
    await this.container(id).process(execId).start();
    return this.vm.pid;
  }

  exec(task: ExecTask): void {
    const container = this.container(task.id);
    container.requireNewExecId(task.execId);
    if (container.condition !== "running") {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        `container ${task.id} is ${container.condition}, not running`,
      );
    }
    const { containerId, execId, pid } = { containerId: task.id, execId: task.execId, pid: this.vm.pid };
    const { events } = this.#options;
    const process = new Process(
      `process ${execId} of container ${containerId}`,
      task.stdio,
      execProcess(this.vm.sandbox, containerId, execId, task.process),
      {
        started: () => events.publish({ topic: "/tasks/exec-started", containerId, execId, pid }),
        exited: (exit) => events.publish({ topic: "/tasks/exit", containerId, id: execId, pid, exit }),
      },
      { namespace: this.#options.namespace, id: execId },
      withFields(this.#options.logger, { container: containerId }),
    );
    container.addExec(execId, process);
    events.publish({ topic: "/tasks/exec-added", containerId, execId });
  }

  /** The record of a process, for Wait, Kill, ResizePty and CloseIO. */
  process(id: string, execId: string): Process {
    return this.container(id).process(execId);
  }

  /**
   * Forgets a process that has ended or was never started; of a container, everything it has in the VM, too.
   *
   * @param abandoned aborted when nobody waits for the answer any more: a container whose end no client has heard of can be deleted again
   */
  async delete(id: string, execId: string, abandoned: AbortSignal): Promise<DeletedTask> {
    const container = this.container(id);
    const process = container.process(execId);
    await process.startSettled();
    process.retire();
    const exit = process.lastExit;
    if (exit === undefined) {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        execId === "" ? `container ${id} is running` : `process ${execId} of container ${id} is running`,
      );
    }
    if (execId !== "") {
      process.io.close();
      container.removeExec(execId);
      return { pid: this.vm.pid, exit };
    }
    // A client that was cut off in its Delete sends another one.
    const deletion = this.#deleting.get(id) ?? this.#deleteContainer(container, exit);
    this.#deleting.set(id, deletion);
    const deleted = await deletion;
    if (!abandoned.aborted) {
      this.#deleting.delete(id);
      this.#containers.delete(id);
    }
    return deleted;
  }

  /** @throws ShimError NOT_FOUND */
  container(id: string): Container {
    const container = this.#containers.get(id);
    if (container === undefined) {
      throw new ShimError(StatusCode.NOT_FOUND, `container ${id}: not found`);
    }
    return container;
  }

  async #createIn(
    pod: Pod,
    type: ContainerType,
    task: CreateTask,
    abandoned: AbortSignal,
  ): Promise<Container> {
    const { id, bundle, rootfs, stdio } = task;
    try {
      const spec = { id, bundle, rootfs, terminal: stdio.terminal };
      await orLoss(pod.sandbox, pod.sandbox.createContainer(spec));
      if (abandoned.aborted) {
        if (type.kind === "pod-container") await pod.sandbox.removeContainer(id);
        throw new ShimError(StatusCode.CANCELLED, `nobody waits for container ${id} any more`);
      }
    } catch (error) {
      if (type.kind !== "pod-container") await this.vm.discard();
      throw error;
    }
    const guest = initProcess(pod.sandbox, id);
    const listener = this.#initListener(pod, type, id);
    const { namespace, logger } = this.#options;
    const its = withFields(logger, { container: id });
    const init = new Process(`container ${id}`, stdio, guest, listener, { namespace, id }, its);
    return new Container(id, bundle, type, init);
  }

  #initListener(pod: Pod, type: ContainerType, containerId: string): ProcessListener {
    const { events } = this.#options;
    const pid = pod.vmmPid;
    return {
      started: () => events.publish({ topic: "/tasks/start", containerId, pid }),
      exited: (exit) => {
        events.publish({ topic: "/tasks/exit", containerId, id: containerId, pid, exit });
        if (type.kind !== "pod-container") void this.#stopWhenRead(pod, containerId);
      },
    };
  }

  /** The container that the VM was brought up for has ended: the VM follows once the container's last output is out of it. */
  async #stopWhenRead(pod: Pod, containerId: string): Promise<void> {
    const limit = new AbortController();
    const { signal } = limit;
    const finished = this.#containers.get(containerId)?.init.io.finished();
    await Promise.race([
      finished,
      sleep(timeLimitMs("unreadOutputSeconds"), undefined, { signal, ref: false }),
    ]);
    limit.abort();
    await pod.stop();
  }

  #reportOom(containerId: string): void {
    // The guest may name what it likes.
    if (!this.#containers.has(containerId)) return;
    const { events, logger } = this.#options;
    logger.warn("out of memory", { container: containerId });
    events.publish({ topic: "/tasks/oom", containerId });
  }

  #loseProcesses(): void {
    for (const container of this.#containers.values()) {
      for (const process of container.processes()) process.lost();
    }
  }

  async #deleteContainer(container: Container, exit: Exit): Promise<DeletedTask> {
    const deleted = { pid: this.vm.pid, exit };
    const isOwner = container.type.kind !== "pod-container";
    const isGone = isOwner ? await this.vm.stop() : await this.#removeFromVm(container);
    container.close();
    this.#options.events.publish({ topic: "/tasks/delete", containerId: container.id, ...deleted });
    if (isOwner) this.#lastDeleted = deleted;
    else if (isGone) this.#options.onContainerGone(container.bundle, deleted);
    return deleted;
  }

  async #removeFromVm(container: Container): Promise<boolean> {
    const { running } = this.vm;
    if (running === undefined) return true;
    try {
      await running.sandbox.removeContainer(container.id);
      return true;
    } catch (error) {
      // Its task is over in any case; what is left of it goes with the VM.
      this.#options.logger.warn("the container is not removed from the VM", {
        container: container.id,
        error: messageOf(error),
      });
      return false;
    }
  }
}
