import type { Command } from "./command.js";
import { UsageError } from "./command.js";
import { readOptions } from "./options.js";
import { inspectSandboxes, type SandboxState } from "./sandboxes/inspect.js";
import { formatSpan, formatTable } from "./table.js";

const USAGE = `\
  kata-fs list [--json]

  The sandboxes of this machine, with their containers and processes. STATE is
    running     its virtual machine runs
    no machine  its shim lives, and has no virtual machine: it is being brought up, or has ended
    silent      its shim lives and does not answer
    dead        its shim is gone; \`kata-fs gc\` removes what it left
  RESTARTS says how often kata-fsd's worker was killed, and another one went on.
`;

const COLUMNS = [
  ...[{ title: "NAMESPACE" }, { title: "SANDBOX" }, { title: "STATE" }],
  ...[
    { title: "CONTAINERS", isNumber: true },
    { title: "CPUS", isNumber: true },
  ],
  ...[
    { title: "MEMORY", isNumber: true },
    { title: "AGE", isNumber: true },
  ],
  ...[
    { title: "SHIM", isNumber: true },
    { title: "QEMU", isNumber: true },
    { title: "KATA-FSD", isNumber: true },
    { title: "RESTARTS", isNumber: true },
  ],
];

export const listCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, { json: { type: "boolean", default: false } });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const sandboxes = await inspectSandboxes();
    if (values.json) output.out(`${JSON.stringify(sandboxes.map(summaryOf), undefined, 2)}\n`);
    else output.out(formatTable(COLUMNS, sandboxes.map(rowOf)));
    return 0;
  },
};

/** What `--json` says of a sandbox. */
function summaryOf({ name, directory, condition, record, shimPid, description, problem }: SandboxState) {
  const vm = description?.vm;
  return {
    ...{ name, directory, state: condition, problem },
    ...{ id: record?.id, namespace: record?.namespace, containerd: record?.address, bundle: record?.bundle },
    ...(record !== undefined && { created: new Date(record.createdAtMs).toISOString() }),
    shim: { pid: shimPid, version: description?.version },
    ...(vm && {
      machine: {
        ...{ accelerator: vm.accelerator, cpus: vm.cpus, memoryMiB: vm.memory_mib },
        qemu: { pid: vm.qemu_pid, version: vm.qemu_version },
      },
      daemon: { pid: vm.daemon_pid, dax: vm.dax, restarts: vm.daemon_restarts },
    }),
    containers: description?.containers.map(({ id, status, processes }) => ({ id, status, processes })) ?? [],
  };
}

function rowOf({ name, condition, record, shimPid, description }: SandboxState): string[] {
  const vm = description?.vm;
  const orDash = (value: unknown) => (value === undefined || value === null ? "-" : `${value}`);
  return [
    ...[record?.namespace ?? "-", record?.id ?? name, condition],
    orDash(description?.containers.length),
    ...[orDash(vm?.cpus), vm == null ? "-" : `${vm.memory_mib}M`],
    record === undefined ? "-" : formatSpan(Date.now() - record.createdAtMs),
    ...[orDash(shimPid), orDash(vm?.qemu_pid), orDash(vm?.daemon_pid), orDash(vm?.daemon_restarts)],
  ];
}
