import { PassThrough } from "node:stream";
import { createServer, type ServiceTable } from "../lib/ttrpc/index.js";
import { agent } from "../proto/index.js";
import { toRuntimeSpec } from "./oci/from-message.js";
import { fitToGuest } from "./oci/guest-policy.js";
import { stringifySpec } from "./oci/runtime-spec.js";
import { toStorage } from "./service/storage-message.js";

/** A container as they usually are: what its message goes through is compiled by the end of {@link warmUp}. */
const SAMPLE = {
  container_id: "sample",
  storages: [{ driver: "overlayfs", options: ["lowerdir=/a"], mount_point: "/run/sample" }],
  OCI: {
    Root: { Path: "/run/sample" },
    Process: { Args: ["sh"], Env: ["A=b"], User: { UID: 1 }, Capabilities: { Bounding: ["CAP_KILL"] } },
    Mounts: [{ destination: "/proc", source: "proc", type: "proc" }],
    Linux: { Namespaces: [{ Type: "mount" }], Resources: { Memory: { Limit: 1 }, CPU: { Shares: 2 } } },
  },
};

/** Runs through what a guest needs first, without touching the machine, so that V8 compiles it and can keep the result. */
export function warmUp(services: ServiceTable): void {
  createServer({ services }).handle(new PassThrough());
  for (const message of [agent.CheckRequest, agent.WaitProcessRequest, agent.ReadStreamRequest]) {
    message.decode(message.encode({}).finish());
  }
  agent.CreateSandboxRequest.decode(
    agent.CreateSandboxRequest.encode({ storages: SAMPLE.storages }).finish(),
  );
  const request = agent.CreateContainerRequest.decode(agent.CreateContainerRequest.encode(SAMPLE).finish());
  request.storages.map(toStorage);
  stringifySpec(fitToGuest(toRuntimeSpec(request.OCI), { containerId: request.container_id }).spec);
}
