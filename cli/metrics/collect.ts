import { management } from "../../proto/index.js";
import { messageOf } from "../../shim/error.js";
import { inspectSandboxes, type SandboxState } from "../sandboxes/inspect.js";
import { askShim } from "../sandboxes/shim-client.js";
import { readDaemonReport } from "./daemon-report.js";
import { Exposition, type Labels } from "./exposition.js";
import { familyFigures, type ProcessFigures, processFigures } from "./process.js";

/** Kata's names of a sandbox's processes in metrics. */
const PROCESSES = { shim: "kata_shim", qemu: "kata_hypervisor", daemon: "kata_virtiofsd" } as const;

/** The metrics of all sandboxes of this machine; the names are Kata's where Kata has them. */
export async function collectMetrics(warn: (message: string) => void): Promise<Exposition> {
  const exposition = new Exposition();
  const sandboxes = await inspectSandboxes();
  for (const condition of ["running", "no machine", "silent", "dead"] as const) {
    const count = sandboxes.filter((sandbox) => sandbox.condition === condition).length;
    const labels = { state: condition.replace(" ", "-") };
    exposition.add("kata_fs_sandboxes", "gauge", "Sandboxes of this machine.", labels, count);
  }
  for (const sandbox of sandboxes) {
    try {
      await addSandbox(exposition, sandbox);
    } catch (error) {
      // It may have ended between two questions; the others count all the same.
      warn(`${sandbox.name}: ${messageOf(error)}`);
    }
  }
  return exposition;
}

async function addSandbox(
  exposition: Exposition,
  { record, shimPid, description }: SandboxState,
): Promise<void> {
  if (record === undefined) return;
  const labels = { sandbox_id: record.id, namespace: record.namespace };
  const vm = description?.vm;
  const pids = { shim: shimPid, qemu: vm?.qemu_pid, daemon: vm?.daemon_pid };
  for (const [what, prefix] of Object.entries(PROCESSES)) {
    const pid = pids[what as keyof typeof PROCESSES];
    const measure = what === "daemon" ? familyFigures : processFigures;
    const figures = pid === undefined || pid === null ? undefined : measure(pid);
    if (figures !== undefined) addProcess(exposition, prefix, labels, figures);
  }
  if (vm == null) return;
  const add = (name: string, help: string, value: number) =>
    exposition.add(name, "gauge", help, labels, value);
  add("kata_fs_machine_cpus", "Processors of the virtual machine.", vm.cpus);
  add("kata_fs_machine_memory_bytes", "Memory of the virtual machine.", vm.memory_mib * 2 ** 20);
  const { guest, daemon } = await askShim(record, "Metrics", management.MetricsResponse);
  exposition.addForeign(guest, "kata_guest_", labels);
  exposition.addForeign(guest, "kata_agent_", labels);
  for (const device of readDaemonReport(daemon)) addDevice(exposition, labels, device);
}

function addProcess(exposition: Exposition, prefix: string, labels: Labels, figures: ProcessFigures): void {
  const add = (name: string, help: string, value: number, extra: Labels = {}) =>
    exposition.add(`${prefix}_${name}`, "gauge", help, { ...labels, ...extra }, value);
  add("fds", "Open descriptors.", figures.descriptors);
  add("threads", "Threads.", figures.threads);
  add("proc_stat", "Seconds that it has computed.", figures.userSeconds, { item: "utime" });
  add("proc_stat", "Seconds that it has computed.", figures.systemSeconds, { item: "stime" });
  add("proc_status", "Memory, in bytes.", figures.residentBytes, { item: "vmrss" });
  add("proc_status", "Memory, in bytes.", figures.proportionalBytes, { item: "pss" });
}

function addDevice(
  exposition: Exposition,
  sandbox: Labels,
  device: ReturnType<typeof readDaemonReport>[number],
): void {
  const labels = { ...sandbox, device: device.tag };
  const count = (name: string, help: string, value: number, extra: Labels = {}) =>
    exposition.add(`kata_fs_${name}`, "counter", help, { ...labels, ...extra }, value);
  const gauge = (name: string, help: string, value: number) =>
    exposition.add(`kata_fs_${name}`, "gauge", help, labels, value);
  for (const [operation, requests] of Object.entries(device.requests)) {
    count("requests_total", "FUSE requests that kata-fsd has taken.", requests, { operation });
  }
  count("errors_total", "FUSE requests that were answered with an error.", device.errors);
  count("read_bytes_total", "Bytes read through the daemon, without DAX.", device.readBytes);
  count("written_bytes_total", "Bytes written through the daemon.", device.writeBytes);
  gauge("inodes", "Inodes that the guest knows.", device.inodes);
  gauge("handles", "Files and directories that the guest has open.", device.handles);
  count("dax_mapped_bytes_total", "Bytes of files mapped into the guest.", device.dax.mappedBytes);
  count("dax_mapped_ranges_total", "Ranges of files mapped into the guest.", device.dax.mappedRanges);
  count("dax_failed_maps_total", "Maps that were refused.", device.dax.failedMaps);
  gauge("dax_mapped_bytes", "Bytes of files that are mapped now.", device.dax.liveBytes);
  gauge("dax_window_bytes", "Room for maps.", device.dax.windowBytes);
}
