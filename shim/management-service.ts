import type { ServiceTable } from "../lib/ttrpc/index.js";
import { management } from "../proto/index.js";
import type { LogHistory } from "./log/logger.js";
import { method } from "./task/method.js";
import type { Tasks } from "./task/tasks.js";

/** The name of the service in ttrpc's requests. */
export const MANAGEMENT_SERVICE = "katafs.Management";

/** What the kata-fs command asks. Without a running VM, Console, Metrics and UpgradeDaemon fail with FAILED_PRECONDITION. */
export function managementService(tasks: Tasks, history: LogHistory, version: string): ServiceTable {
  return {
    [MANAGEMENT_SERVICE]: {
      Describe: method(management.Empty, management.Description, async () => describe(tasks, version)),
      Console: method(management.Empty, management.Text, async () => ({ text: tasks.vm.sandbox.console })),
      Log: method(management.LogRequest, management.LogResponse, async ({ since }) => ({
        text: history.since(since),
        end: history.end,
      })),
      Metrics: method(management.Empty, management.MetricsResponse, async () => {
        const { sandbox } = tasks.vm;
        const [guest, daemon] = await Promise.all([sandbox.guestMetrics(), sandbox.daemonMetrics()]);
        return { guest, daemon: JSON.stringify(daemon) };
      }),
      UpgradeDaemon: method(
        management.UpgradeDaemonRequest,
        management.UpgradeDaemonResponse,
        async ({ build }) => {
          const { version, pauseMs } = await tasks.vm.sandbox.upgradeDaemon(build);
          return { version, pause_ms: pauseMs };
        },
      ),
    },
  };
}

function describe(tasks: Tasks, version: string): management.Description.$Properties {
  const containers = tasks.containers.map((container) => ({
    id: container.id,
    status: container.condition,
    processes: container.processes().length,
  }));
  const { description } = tasks.vm;
  if (description === undefined) return { version, containers };
  const { accelerator, qemuVersion, qemuPid, daemonPid, daemonRestarts, cpus, memoryMiB, dax } = description;
  const vm = {
    ...{ accelerator, cpus, dax, qemu_version: qemuVersion, qemu_pid: qemuPid },
    ...{ daemon_pid: daemonPid, daemon_restarts: daemonRestarts, memory_mib: memoryMiB },
  };
  return { version, vm, containers };
}
