import { agent } from "../../proto/index.js";
import type { OomEvents } from "../container/oom-events.js";
import { copyFile } from "../guest/copy-file.js";
import { setClock, syncFileSystems } from "../guest/guest.js";
import {
  memoryBlockBytes,
  onlineCpus,
  onlineMemory,
  probeMemory,
  supportsMemoryProbe,
} from "../guest/hotplug.js";
import { loadModule } from "../guest/kernel-modules.js";
import { guestMetrics } from "../guest/metrics.js";
import { reseedRandom } from "../guest/random.js";
import { log } from "../log.js";
import type { Sandbox } from "../sandbox.js";
import { STORAGE_DRIVERS } from "../storage/drivers.js";
import { AGENT_VERSION } from "../version.js";
import { emptyMethod, type MethodTable, method } from "./method.js";
import { toStorage } from "./storage-message.js";

/** How long DestroySandbox waits for processes that were killed. */
const KILL_TIMEOUT_MS = 5000;

export interface SandboxMethodOptions {
  readonly sandbox: Sandbox;
  readonly oomEvents: OomEvents;
  /** Whether the agent is PID 1 of its guest. */
  readonly isInit: boolean;
  /** Called before the sandbox is made. */
  readonly onCreate: () => void;
  /** Called when the sandbox is gone and DestroySandbox is about to be answered. */
  readonly onDestroyed: () => void;
}

/** The methods of grpc.AgentService that concern the sandbox and its guest as a whole. */
export function sandboxMethods(options: SandboxMethodOptions): MethodTable {
  const { sandbox, oomEvents, isInit, onCreate, onDestroyed } = options;
  return {
    CreateSandbox: emptyMethod(agent.CreateSandboxRequest, (request) => {
      onCreate();
      for (const { name, parameters } of request.kernel_modules) loadModule(name, parameters.join(" "));
      sandbox.create({
        id: request.sandbox_id,
        hostname: request.hostname,
        resolvConf: request.dns,
        storages: request.storages.map(toStorage),
      });
    }),
    DestroySandbox: emptyMethod(agent.DestroySandboxRequest, async () => {
      // A process that will not die, such as one that hangs in the kernel, goes with the guest.
      await sandbox
        .killAll(KILL_TIMEOUT_MS)
        .catch((error: unknown) => log("warn", "not all ended", { error }));
      await syncFileSystems();
      onDestroyed();
    }),
    GetGuestDetails: method(agent.GuestDetailsRequest, agent.GuestDetailsResponse, (request) => ({
      mem_block_size_bytes: request.mem_block_size ? memoryBlockBytes() : 0,
      support_mem_hotplug_probe: request.mem_hotplug_probe && supportsMemoryProbe(),
      agent_details: {
        version: AGENT_VERSION,
        init_daemon: isInit,
        storage_handlers: [...STORAGE_DRIVERS.keys()],
        supports_seccomp: true,
      },
    })),
    GetMetrics: method(agent.GetMetricsRequest, agent.Metrics, () => ({ metrics: guestMetrics() })),
    GetOOMEvent: method(agent.GetOOMEventRequest, agent.OOMEvent, async (_request, signal) => ({
      container_id: await oomEvents.next(signal),
    })),
    OnlineCPUMem: emptyMethod(agent.OnlineCPUMemRequest, async (request) => {
      await onlineCpus(request.nb_cpus);
      if (!request.cpu_only) onlineMemory();
    }),
    MemHotplugByProbe: emptyMethod(agent.MemHotplugByProbeRequest, (request) =>
      probeMemory(request.memHotplugProbeAddr),
    ),
    SetGuestDateTime: emptyMethod(agent.SetGuestDateTimeRequest, ({ Sec, Usec }) => setClock(Sec, Usec)),
    ReseedRandomDev: emptyMethod(agent.ReseedRandomDevRequest, ({ data }) => reseedRandom(data)),
    CopyFile: emptyMethod(agent.CopyFileRequest, (request) =>
      copyFile({
        path: request.path,
        sizeBytes: request.file_size,
        mode: request.file_mode,
        directoryMode: request.dir_mode,
        uid: request.uid,
        gid: request.gid,
        offsetBytes: request.offset,
        data: request.data,
      }),
    ),
  };
}
