import { normalize } from "node:path";
import type { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";
import type { Storage } from "../storage/storage.js";

/** Checks and translates a Storage of the protocol. Throws AgentError INVALID_ARGUMENT. */
export function toStorage(message: agent.Storage.$Properties): Storage {
  const mountPoint = message.mount_point ?? "";
  if (!mountPoint.startsWith("/")) {
    throw new AgentError("INVALID_ARGUMENT", `storage mount point "${mountPoint}" is not an absolute path`);
  }
  const fsGroup = message.fs_group?.group_id;
  return {
    driver: message.driver ?? "",
    driverOptions: message.driver_options ?? [],
    source: message.source ?? "",
    fstype: message.fstype ?? "",
    options: [...(message.options ?? []), ...(fsGroup ? [`fsgid=${fsGroup}`] : [])],
    mountPoint: normalize(mountPoint).replace(/(?<=.)\/$/, ""),
  };
}
