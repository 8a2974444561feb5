import { join } from "node:path";
import type { ServiceTable, UnaryHandler } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import { writeFileAtomically } from "../address.js";
import { ShimError, StatusCode } from "../error.js";
import { method } from "../task/method.js";
import { runtimeOptionsOf } from "../task/runtime-options.js";
import type { OwnSandbox, ShimVm } from "../task/shim-vm.js";
import { timestampOf } from "../timestamp.js";
import { sandboxConfigOf } from "./sandbox-config.js";

const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";
/** Go's names for what the guest is. */
const PLATFORM = { os: "linux", architecture: "amd64" };

export interface SandboxServiceOptions {
  /** Of the shim; its sandbox has no other. */
  readonly bundle: string;
  /** The runtime's `options` of containerd's configuration, which come by standard input of `start`: google.protobuf.Any, or nothing. */
  startOptions(): Promise<Uint8Array>;
  /** Ends the shim, whatever is left. */
  shutdown(): Promise<void>;
}

/**
 * containerd's Sandbox API: with `sandboxer = "shim"` containerd 2 asks the shim for a pod's sandbox, and no container stands for it. The
 * containers come by the task API.
 */
export function sandboxService(vm: ShimVm, options: SandboxServiceOptions): ServiceTable {
  const { bundle } = options;
  const { CreateSandboxRequest, SandboxRequest, Empty } = containerd;
  const methods: Readonly<Record<string, UnaryHandler>> = {
    CreateSandbox: method(CreateSandboxRequest, Empty, async (request) => {
      writeConfig(bundle, request);
      return {};
    }),
    StartSandbox: method(
      SandboxRequest,
      containerd.StartSandboxResponse,
      async ({ sandbox_id: id }, { signal }) => {
        const runtimeOptions = runtimeOptionsOf(containerd.Any.decode(await options.startOptions()));
        const { pid, startedAt } = await vm.startOwn({ id, bundle, runtimeOptions }, signal);
        return { pid, created_at: timestampOf(startedAt) };
      },
    ),
    Platform: method(SandboxRequest, containerd.PlatformResponse, async () => ({ platform: PLATFORM })),
    SandboxStatus: method(SandboxRequest, containerd.SandboxStatusResponse, async ({ sandbox_id }) => {
      const { ownSandbox } = vm;
      return {
        sandbox_id,
        pid: vm.pid,
        state: ownSandbox?.isRunning ? READY : NOT_READY,
        ...(ownSandbox && { created_at: timestampOf(ownSandbox.startedAt) }),
      };
    }),
    WaitSandbox: method(SandboxRequest, containerd.WaitSandboxResponse, async () => {
      const { status, exitedAt } = await requireSandbox(vm).ended;
      return { exit_status: status, exited_at: timestampOf(exitedAt) };
    }),
    StopSandbox: method(SandboxRequest, Empty, async () => {
      await vm.stop();
      return {};
    }),
    PingSandbox: method(SandboxRequest, Empty, async () => {
      requireSandbox(vm);
      return {};
    }),
    ShutdownSandbox: method(SandboxRequest, Empty, async () => {
      await options.shutdown();
      return {};
    }),
  };
  return { "containerd.runtime.sandbox.v1.Sandbox": methods };
}

function requireSandbox(vm: ShimVm): OwnSandbox {
  if (vm.ownSandbox !== undefined) return vm.ownSandbox;
  throw new ShimError(StatusCode.NOT_FOUND, "the sandbox is not started: not found");
}

/** Leaves config.json in the bundle, which containerd leaves empty in this mode. */
function writeConfig(bundle: string, request: containerd.CreateSandboxRequest): void {
  const { sandbox_id: id, options, netns_path: networkNamespace } = request;
  if (!/(^|[./])PodSandboxConfig$/.test(options?.type_url ?? "")) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `CreateSandbox with options of type ${options?.type_url ?? "none"}; needed: a PodSandboxConfig of CRI`,
    );
  }
  const pod = containerd.PodSandboxConfig.decode(options.value);
  writeFileAtomically(
    join(bundle, "config.json"),
    JSON.stringify(sandboxConfigOf({ id, networkNamespace, pod })),
  );
}
