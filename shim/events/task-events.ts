import type { StdioConfig } from "../stdio/process-io.js";
import type { Exit } from "../task/process.js";

/** A mount as containerd describes it. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/** What the shim tells containerd of its tasks; the payloads of containerd.events by topic. */
export type TaskEvent =
  | {
      readonly topic: "/tasks/create";
      readonly containerId: string;
      readonly bundle: string;
      readonly rootfs: readonly RootfsMount[];
      readonly stdio: StdioConfig;
      readonly pid: number;
    }
  | { readonly topic: "/tasks/start"; readonly containerId: string; readonly pid: number }
  | {
      readonly topic: "/tasks/exit";
      readonly containerId: string;
      /** Id of the process: the container's own for its first one. */
      readonly id: string;
      readonly pid: number;
      readonly exit: Exit;
    }
  | {
      readonly topic: "/tasks/delete";
      readonly containerId: string;
      readonly pid: number;
      readonly exit: Exit;
    }
  | { readonly topic: "/tasks/exec-added"; readonly containerId: string; readonly execId: string }
  | {
      readonly topic: "/tasks/exec-started";
      readonly containerId: string;
      readonly execId: string;
      readonly pid: number;
    }
  | {
      readonly topic: "/tasks/paused" | "/tasks/resumed" | "/tasks/oom";
      readonly containerId: string;
    };

/** Takes events in their order; never fails and never waits. */
export interface EventPublisher {
  publish(event: TaskEvent): void;
}
