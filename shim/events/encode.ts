import { containerd } from "../../proto/index.js";
import { timestampOf } from "../timestamp.js";
import type { TaskEvent } from "./task-events.js";

/**
 * An event as containerd takes it: the payload's type is its bare protobuf name.
 *
 * @param time when it happened
 */
export function encodeEvent(
  event: TaskEvent,
  namespace: string,
  time: Date,
): containerd.Envelope.$Properties {
  const [name, value] = payloadOf(event);
  return {
    timestamp: timestampOf(time),
    namespace,
    topic: event.topic,
    event: { type_url: `containerd.events.${name}`, value },
  };
}

function payloadOf(event: TaskEvent): readonly [name: string, value: Uint8Array] {
  const container_id = event.containerId;
  switch (event.topic) {
    case "/tasks/create": {
      const { bundle, rootfs, stdio, pid } = event;
      const { stdin, stdout, stderr, terminal } = stdio;
      return [
        "TaskCreate",
        containerd.TaskCreate.encode({
          container_id,
          bundle,
          rootfs: rootfs.map((mount) => ({ ...mount, options: [...mount.options] })),
          io: { stdin, stdout, stderr, terminal },
          pid,
        }).finish(),
      ];
    }
    case "/tasks/start":
      return ["TaskStart", containerd.TaskStart.encode({ container_id, pid: event.pid }).finish()];
    case "/tasks/exit":
    case "/tasks/delete": {
      const { status: exit_status, exitedAt } = event.exit;
      const ended = { container_id, pid: event.pid, exit_status, exited_at: timestampOf(exitedAt) };
      return event.topic === "/tasks/exit"
        ? ["TaskExit", containerd.TaskExit.encode({ ...ended, id: event.id }).finish()]
        : ["TaskDelete", containerd.TaskDelete.encode({ ...ended, id: container_id }).finish()];
    }
    case "/tasks/exec-added":
      return [
        "TaskExecAdded",
        containerd.TaskExecAdded.encode({ container_id, exec_id: event.execId }).finish(),
      ];
    case "/tasks/exec-started":
      return [
        "TaskExecStarted",
        containerd.TaskExecStarted.encode({ container_id, exec_id: event.execId, pid: event.pid }).finish(),
      ];
    case "/tasks/paused":
      return ["TaskPaused", containerd.TaskPaused.encode({ container_id }).finish()];
    case "/tasks/resumed":
      return ["TaskResumed", containerd.TaskResumed.encode({ container_id }).finish()];
    case "/tasks/oom":
      return ["TaskOOM", containerd.TaskOOM.encode({ container_id }).finish()];
  }
}
