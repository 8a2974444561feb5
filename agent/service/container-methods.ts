import { agent } from "../../proto/index.js";
import type { OomEvents } from "../container/oom-events.js";
import { AgentError } from "../error.js";
import { syncFileSystems } from "../guest/guest.js";
import { toRuntimeProcess, toRuntimeResources, toRuntimeSpec } from "../oci/from-message.js";
import { checkId, type Sandbox } from "../sandbox.js";
import { findDevices, withDevices } from "./device-message.js";
import { emptyMethod, type MethodTable, method } from "./method.js";
import { toStorage } from "./storage-message.js";

/** The methods of grpc.AgentService for the life of containers and their processes. */
export function containerMethods(sandbox: Sandbox, oomEvents: OomEvents): MethodTable {
  return {
    CreateContainer: emptyMethod(agent.CreateContainerRequest, async (request) => {
      const devices = await findDevices(request.devices);
      await sandbox.createContainer({
        id: request.container_id,
        execId: request.exec_id,
        storages: request.storages.map(toStorage),
        spec: withDevices(toRuntimeSpec(request.OCI ?? {}), devices),
        sharesPidNamespace: request.sandbox_pidns,
      });
    }),
    StartContainer: emptyMethod(agent.StartContainerRequest, async ({ container_id }) => {
      const container = sandbox.container(container_id);
      oomEvents.watch(container_id, container.cgroup);
      await container.start();
    }),
    RemoveContainer: emptyMethod(agent.RemoveContainerRequest, async ({ container_id, timeout }) => {
      await sandbox.removeContainer(container_id, timeout * 1000);
      oomEvents.unwatch(container_id);
    }),
    ExecProcess: emptyMethod(agent.ExecProcessRequest, async ({ container_id, exec_id, process }) => {
      checkId(exec_id, "exec");
      if (!process) throw new AgentError("INVALID_ARGUMENT", "ExecProcess: process is missing");
      await sandbox.container(container_id).exec(exec_id, toRuntimeProcess(process));
    }),
    SignalProcess: emptyMethod(agent.SignalProcessRequest, ({ container_id, exec_id, signal }) =>
      sandbox.container(container_id).signal(exec_id, signal),
    ),
    WaitProcess: method(
      agent.WaitProcessRequest,
      agent.WaitProcessResponse,
      async ({ container_id, exec_id }) => ({ status: await sandbox.container(container_id).wait(exec_id) }),
    ),
    UpdateContainer: emptyMethod(agent.UpdateContainerRequest, async ({ container_id, resources }) =>
      sandbox.container(container_id).update(toRuntimeResources(resources ?? {})),
    ),
    StatsContainer: method(
      agent.StatsContainerRequest,
      agent.StatsContainerResponse,
      async ({ container_id }) => sandbox.container(container_id).stats(),
    ),
    PauseContainer: emptyMethod(agent.PauseContainerRequest, async ({ container_id }) => {
      await sandbox.container(container_id).pause();
      // The host is to see what was written before, to commit it; nothing is written any more.
      await syncFileSystems();
    }),
    ResumeContainer: emptyMethod(agent.ResumeContainerRequest, ({ container_id }) =>
      sandbox.container(container_id).resume(),
    ),
  };
}
