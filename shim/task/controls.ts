import type { agent } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import type { EventPublisher } from "../events/task-events.js";
import type { Container } from "./container.js";
import { orLoss } from "./loss.js";
import type { Sandbox } from "./sandbox-port.js";

/** The containers that {@link Controls} works on. */
export interface ControlledTasks {
  /** @throws ShimError NOT_FOUND */
  container(id: string): Container;
  readonly vm: {
    /** @throws ShimError FAILED_PRECONDITION when the VM is not there */
    readonly sandbox: Sandbox;
  };
}

/**
 * What is done to a container as a whole while it lives. Each call fails with ShimError NOT_FOUND for an id that is unknown, with
 * FAILED_PRECONDITION for a state that it does not fit, or with what the agent answered.
 */
export class Controls {
  constructor(
    private readonly tasks: ControlledTasks,
    private readonly events: EventPublisher,
  ) {}

  async pause(id: string): Promise<void> {
    const container = this.#requireCondition(id, "pause", "running");
    const { sandbox } = this.tasks.vm;
    await orLoss(sandbox, sandbox.pauseContainer(id));
    container.isPaused = true;
    this.events.publish({ topic: "/tasks/paused", containerId: id });
  }

  async resume(id: string): Promise<void> {
    const container = this.#requireCondition(id, "resume", "paused");
    const { sandbox } = this.tasks.vm;
    await orLoss(sandbox, sandbox.resumeContainer(id));
    container.isPaused = false;
    this.events.publish({ topic: "/tasks/resumed", containerId: id });
  }

  /** @param resources the OCI resources, as their JSON was parsed */
  async update(id: string, resources: unknown): Promise<void> {
    this.#requireCondition(id, "update", "created", "running", "paused");
    const { sandbox } = this.tasks.vm;
    await orLoss(sandbox, sandbox.updateContainer(id, resources));
  }

  async stats(id: string): Promise<agent.StatsContainerResponse> {
    this.#requireCondition(id, "measure", "created", "running", "paused");
    const { sandbox } = this.tasks.vm;
    return await orLoss(sandbox, sandbox.statsContainer(id));
  }

  #requireCondition(id: string, verb: string, ...needed: readonly Container["condition"][]): Container {
    const container = this.tasks.container(id);
    if (needed.includes(container.condition)) return container;
    const message = `cannot ${verb} container ${id}: it is ${container.condition}, not ${needed.join(" or ")}`;
    throw new ShimError(StatusCode.FAILED_PRECONDITION, message);
  }
}
