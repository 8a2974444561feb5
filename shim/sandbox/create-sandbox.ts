import { accessSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Configuration } from "../../configs/index.js";
import { keepDescriptorsFromChildren } from "../../lib/sys/close-on-exec.js";
import { acceptToUnix, createVsockDevice, serveUnixBridge, type VsockDevice } from "../../lib/vsock/index.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { ShimLogger } from "../log/logger.js";
import { addressAnsweredMs } from "../start-clock.js";
import type { SandboxFactory, SandboxIdentity, SandboxSpec } from "../task/sandbox-port.js";
import { timeLimitMs } from "../time-limits.js";
import { AcceleratorError, chooseAccelerator } from "../vm/accelerator.js";
import { vcpuThreads } from "../vm/hotplug.js";
import { probeQemu, requireDax } from "../vm/probe.js";
import { type QemuCommand, QemuError, type QemuProcess } from "../vm/qemu-process.js";
import type { AgentClient } from "./agent-client.js";
import { sandboxCgroupPath } from "./cgroup-path.js";
import { recordProcesses } from "./child.js";
import { claimDirectory } from "./claim-directory.js";
import { sandboxConfiguration } from "./configuration.js";
import { FsDaemon } from "./daemon.js";
import { Disks } from "./disks.js";
import { ElasticVm } from "./elastic-vm.js";
import { connectAgent } from "./guest-boot.js";
import { isDirectoryGuest } from "./guest-os.js";
import { createGuestSandbox } from "./guest-sandbox.js";
import { HealthWatch } from "./health-watch.js";
import { attemptHooks, type HookedContainer, runHooks } from "./hooks.js";
import { HostCgroups } from "./host-cgroups.js";
import { HostEvents } from "./host-events.js";
import { KataSandbox } from "./kata-sandbox.js";
import { PORT_FORWARD_PORT } from "./kernel-parameters.js";
import { removeDirectory, type SandboxLayout, STATE_DIRECTORY, sandboxLayout } from "./layout.js";
import { configureGuestNetwork } from "./network/guest-network.js";
import { withHolder } from "./network/namespace-holder.js";
import { openPodNamespace } from "./network/pod-namespace.js";
import { PodNetwork } from "./network/pod-network.js";
import { PortForward } from "./network/port-forward.js";
import { hasHooks } from "./oci/hooks.js";
import { hostnameOf } from "./oci/hostname.js";
import { requirePodFeatures } from "./oci/pod-features.js";
import { readConfig } from "./oci/read-config.js";
import { cgroupsPathOf, sandboxLimits } from "./oci/resource-limits.js";
import { sharedMemoryBytes } from "./oci/shared-memory.js";
import { sysctlsOf } from "./oci/spec-message.js";
import { OverlayBroker } from "./overlay-broker.js";
import { type Phases, timed } from "./phases.js";
import { writeReport } from "./sandbox-report.js";
import { Shares } from "./shares.js";
import { startQemu } from "./start-qemu.js";
import { UndoStack } from "./undo-stack.js";
import { largestVmSize, vmSize } from "./vm-size.js";

/** Brings VMs up by the configuration that containerd or the environment names. */
export function createSandboxFactory(address: string, logger: ShimLogger): SandboxFactory {
  return { create: (spec) => createSandbox({ ...spec, address }, logger) };
}

type AddressedSpec = SandboxSpec & SandboxIdentity;

async function createSandbox(spec: AddressedSpec, logger: ShimLogger): Promise<KataSandbox> {
  const undo = new UndoStack();
  try {
    const configuration = await sandboxConfiguration(spec, logger);
    return await bringUp(spec, configuration, undo, logger);
  } catch (error) {
    await undo.undo().catch((failure: unknown) => {
      logger.error("a failed start left something behind", { error: messageOf(failure) });
    });
    throw error;
  }
}

/** Each step registers with `undo` how it is undone before the next one begins. */
async function bringUp(
  spec: AddressedSpec,
  configuration: Configuration,
  undo: UndoStack,
  logger: ShimLogger,
): Promise<KataSandbox> {
  const { id, bundle } = spec;
  const config = readConfig(bundle);
  requirePodFeatures(config);
  const layout = sandboxLayout(spec);
  keepDescriptorsFromChildren();
  const { hypervisor, guest, daemon: daemonConfiguration, runtime } = configuration;
  const accelerator = chosenAccelerator(hypervisor.accelerator);
  requireReadable(hypervisor.kernel, "hypervisor.kernel: a bootable kernel image");
  const guestRoot = isDirectoryGuest(guest) ? guest.root : undefined;
  if (guestRoot !== undefined) requireReadable(guestRoot, "guest.root: the guest's root directory");
  if (guest.image !== undefined) requireReadable(guest.image, "guest.image: a disk image");
  if (guest.initrd !== undefined) requireReadable(guest.initrd, "guest.initrd: an initial ramdisk");
  await checkQemu(hypervisor, daemonConfiguration.dax);
  await claimDirectory(spec, logger);
  undo.add(layout.directory, () => removeDirectory(layout));
  const cgroups = enterCgroups(id, config, layout, runtime.sandboxCgroupOnly, undo, logger);

  const network = await joinNetwork({ id, bundle, config }, layout, undo, logger);

  const broker = new OverlayBroker(logger);
  const shares = Shares.create(layout, broker);
  undo.add("the shares", () => shares.destroy());

  const vsock = createVsockDevice(layout.vsockDeviceSocket, { accept: acceptToUnix(layout.vsockSocket) });
  undo.add("the vsock device", () => vsock.close());
  const bridge = await serveUnixBridge(layout.vsockSocket, vsock);
  undo.add("the vsock device's UNIX socket", () => bridge.close());

  const [daemon, daemonMs] = await timed(() =>
    FsDaemon.start(daemonConfiguration, guestRoot, layout, broker, logger),
  );
  undo.add("kata-fsd", () => daemon.stop());
  recordProcesses(layout.processes, [process.pid, daemon.pid]);

  const largest = largestVmSize(hypervisor);
  const size = vmSize(hypervisor, largest, [sandboxLimits(config)]);
  const growsTo = hypervisor.hotPlug ? largest : size;
  const [qemu, qemuMs] = await timed(() =>
    startQemu({ id, configuration, accelerator, size, largest: growsTo, layout, network, logger }, undo),
  );
  recordProcesses(layout.processes, [process.pid, daemon.pid, qemu.pid]);
  forwardPorts(network, vsock, undo, logger);
  const admitGuest = async () => cgroups?.admitGuest(qemu.pid, await vcpuThreads(qemu.qmp));
  await admitGuest();

  const ended = explained(firstLoss(qemu, daemon), cgroups);
  const [agent, kernelToAgentMs] = await timed(() =>
    connectAgent({
      connect: (port, signal) => vsock.connect(port, signal),
      timeLimitMs: timeLimitMs("bootSeconds"),
      lost: Promise.race([ended, whenAbandoned(spec)]),
      describeConsole: () => qemu.describeConsole(),
    }),
  );
  undo.add("the agent's connection", () => agent.close());

  const [, createSandboxMs] = await timed(async () => {
    await configureGuestNetwork(agent, network.interfaces);
    await createGuestSandbox(agent, {
      id,
      hostname: hostnameOf(config),
      sharedMemoryBytes: sharedMemoryBytes(config),
      dax: daemonConfiguration.dax,
    });
  });
  const health = watchHealth(qemu, agent);
  if (health !== undefined) undo.add("the watch of the guest's health", () => health.stop());
  const died = health === undefined ? ended : Promise.race([ended, health.lost]);
  const events = HostEvents.follow(layout.eventsSocket, agent, logger);
  undo.add("the host's events", () => events.close());
  const phases: Phases = {
    shimStart: addressAnsweredMs(),
    daemon: daemonMs,
    qemu: qemuMs,
    kernelToAgent: kernelToAgentMs,
    containerStart: createSandboxMs,
    total: performance.now(),
  };
  const vm = new ElasticVm({
    ...{ qmp: qemu.qmp, agent, base: hypervisor, largest: growsTo, started: size, logger },
    onCpusPlugged: admitGuest,
  });
  const disks = new Disks({ qmp: qemu.qmp, canPlug: hypervisor.hotPlug, logger });
  logger.info("sandbox is up", {
    qemu: qemu.qmp.version,
    accelerator,
    kernelToAgentMs: Math.round(kernelToAgentMs),
  });

  const beforeStop = async () => {
    const { reportDirectory } = runtime;
    if (reportDirectory === undefined) return;
    writeReport(reportDirectory, {
      version: 1,
      sandbox: id,
      accelerator,
      qemu: qemu.qmp.version,
      dax: daemonConfiguration.dax,
      phasesMs: phases,
      daemon: await daemon.metrics(),
    });
  };
  return new KataSandbox({
    id,
    sysctls: sysctlsOf(config),
    ...{ vmmPid: qemu.pid, agent, vm, shares, disks, died, undo, phases, beforeStop, logger },
    description: {
      accelerator,
      qemuVersion: qemu.qmp.version,
      qemuPid: qemu.pid,
      daemonPid: daemon.pid,
      dax: daemonConfiguration.dax,
    },
    console: () => qemu.console.toString(),
    daemon,
  });
}

function chosenAccelerator(configured: Configuration["hypervisor"]["accelerator"]) {
  try {
    return chooseAccelerator(configured);
  } catch (error) {
    if (!(error instanceof AcceleratorError)) throw error;
    throw new ShimError(StatusCode.FAILED_PRECONDITION, error.message, { cause: error });
  }
}

async function checkQemu(command: QemuCommand, dax: boolean): Promise<void> {
  try {
    const capabilities = await probeQemu(command, STATE_DIRECTORY);
    if (dax) requireDax(capabilities, command);
  } catch (error) {
    if (!(error instanceof QemuError)) throw error;
    throw new ShimError(StatusCode.FAILED_PRECONDITION, error.message, { cause: error });
  }
}

/**
 * What prepares the sandbox on the host may also make its network, as nerdctl does: its hooks come first, and get a process of the namespace, since
 * QEMU is not there yet.
 */
async function joinNetwork(
  container: Omit<HookedContainer, "pid">,
  layout: SandboxLayout,
  undo: UndoStack,
  logger: ShimLogger,
): Promise<PodNetwork> {
  const pod = openPodNamespace(container.config);
  try {
    if (hasHooks(container.config)) {
      undo.add("the hooks", () => attemptHooks({ ...container, pid: 0 }, "poststop", logger));
      await withHolder(pod.namespace, async (pid) => {
        await runHooks({ ...container, pid }, "prestart");
        await runHooks({ ...container, pid }, "createRuntime");
      });
    }
  } catch (error) {
    pod.namespace.close();
    throw error;
  }
  const network = PodNetwork.join(pod, layout.network);
  undo.add("the network", () => network.part());
  return network;
}

/** A network that has no interface is nobody's to reach the guest by. */
function forwardPorts(network: PodNetwork, vsock: VsockDevice, undo: UndoStack, logger: ShimLogger): void {
  if (network.interfaces.length === 0) return;
  try {
    const connectGuest = (signal: AbortSignal) => vsock.connect(PORT_FORWARD_PORT, signal);
    const ports = PortForward.open(network.namespace, connectGuest, logger);
    undo.add("the forwarded ports", () => ports.close());
  } catch (error) {
    logger.warn("kubectl port-forward will not reach the guest", { error: messageOf(error) });
  }
}

/** From here on, what the shim starts is in the sandbox's control groups. */
function enterCgroups(
  id: string,
  config: unknown,
  layout: SandboxLayout,
  sandboxOnly: boolean,
  undo: UndoStack,
  logger: ShimLogger,
): HostCgroups | undefined {
  const cgroups = HostCgroups.enter(
    {
      path: sandboxCgroupPath(cgroupsPathOf(config), id),
      name: basename(layout.directory),
      sandboxOnly,
      record: layout.cgroups,
    },
    logger,
  );
  if (cgroups !== undefined) undo.add("the control groups", () => cgroups.leave());
  return cgroups;
}

function requireReadable(path: string, needed: string): void {
  try {
    accessSync(path);
  } catch (cause) {
    throw new ShimError(StatusCode.FAILED_PRECONDITION, `${messageOf(cause)}; needed: ${needed}`, { cause });
  }
}

/** Resolves when nobody waits for the sandbox any more. */
function whenAbandoned({ id, abandoned }: SandboxSpec): Promise<Error> {
  return new Promise((resolve) => {
    const tell = () =>
      resolve(new ShimError(StatusCode.CANCELLED, `nobody waits for sandbox ${id} any more: it is given up`));
    if (abandoned.aborted) tell();
    else abandoned.addEventListener("abort", tell, { once: true });
  });
}

/** Resolves when QEMU or the daemon has ended, with what tells most: a daemon that ends in order does so because QEMU has. */
async function firstLoss(qemu: QemuProcess, daemon: FsDaemon): Promise<Error> {
  const loss = await Promise.race([qemu.ended, daemon.ended]);
  return await Promise.race([qemu.ended, delay(timeLimitMs("qemuEndSeconds"), loss, { ref: false })]);
}

/** Tells the end of a process that the host has killed for want of memory from others. */
async function explained(lost: Promise<Error>, cgroups: HostCgroups | undefined): Promise<Error> {
  const reason = await lost;
  const kills = cgroups?.oomKills() ?? 0;
  if (kills === 0) return reason;
  return new ShimError(
    StatusCode.RESOURCE_EXHAUSTED,
    `the host had no memory left for the sandbox's control group, and killed: ${reason.message}`,
    { cause: reason },
  );
}

/** @returns undefined where the configuration wants no watch */
function watchHealth(qemu: QemuProcess, agent: AgentClient): HealthWatch | undefined {
  const silenceMs = timeLimitMs("guestSilenceSeconds");
  if (silenceMs === 0) return undefined;
  return new HealthWatch({
    check: () => agent.check(),
    isVmRunning: () => qemu.isVmRunning(timeLimitMs("agentCheckSeconds")),
    silenceMs,
    describeConsole: () => qemu.describeConsole(),
  });
}
