import { release } from "node:os";
import { ConfigError, dropInsOf, findConfigurationFile, loadConfiguration } from "../configs/index.js";
import { messageOf } from "../shim/error.js";
import { STATE_DIRECTORY } from "../shim/sandbox/layout.js";
import { RUNTIME_NAME, VERSION } from "../shim/version.js";
import { AcceleratorError, chooseAccelerator } from "../shim/vm/accelerator.js";
import { probeQemu } from "../shim/vm/probe.js";
import { QemuError } from "../shim/vm/qemu-process.js";
import { type Command, UsageError } from "./command.js";
import { readOptions } from "./options.js";

const USAGE = `\
  kata-fs env [--json]

  What a sandbox that starts now would be made of, for a report of a defect: versions, paths, the gist of the configuration.
  \`kata-fs config show\` has all of the configuration.
`;

type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

export const envCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, { json: { type: "boolean", default: false } });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const sections = { "kata-fs": own(), host: host(), ...(await configured()) };
    if (values.json) output.out(`${JSON.stringify(sections, undefined, 2)}\n`);
    else
      output.out(
        Object.entries(sections)
          .map(([title, facts]) => formatSection(title, facts))
          .join("\n"),
      );
    return 0;
  },
};

function own(): Facts {
  return { version: VERSION, runtime: RUNTIME_NAME, node: process.version, state: STATE_DIRECTORY };
}

function host(): Facts {
  return { kernel: release(), architecture: process.arch };
}

/** A configuration that cannot be used is one of the facts. */
async function configured(): Promise<Readonly<Record<string, Facts>>> {
  try {
    const file = findConfigurationFile(undefined, process.env);
    const { hypervisor, guest, daemon, runtime } = loadConfiguration(file);
    return {
      configuration: { file, dropIns: dropInsOf(file).length, logLevel: runtime.logLevel },
      hypervisor: {
        command: hypervisor.argv.at(0),
        version: await qemuVersion(hypervisor),
        accelerator: accelerator(hypervisor.accelerator),
        kernel: hypervisor.kernel,
        cpus: hypervisor.cpus,
        memoryMiB: hypervisor.memoryMiB,
        hotPlug: hypervisor.hotPlug,
      },
      guest: { os: guest.image ?? guest.initrd ?? guest.root, sandboxCgroupOnly: runtime.sandboxCgroupOnly },
      daemon: {
        command: daemon.path ?? "kata-fsd of this package",
        dax: daemon.dax,
        writeback: daemon.writeback,
      },
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { configuration: { problem: messageOf(error) } };
  }
}

async function qemuVersion(hypervisor: Parameters<typeof probeQemu>[0]): Promise<string> {
  try {
    return (await probeQemu(hypervisor, STATE_DIRECTORY)).version;
  } catch (error) {
    if (!(error instanceof QemuError)) throw error;
    return messageOf(error);
  }
}

function accelerator(configured: "auto" | "kvm" | "tcg"): string {
  try {
    return chooseAccelerator(configured);
  } catch (error) {
    if (!(error instanceof AcceleratorError)) throw error;
    return messageOf(error);
  }
}

function formatSection(title: string, facts: Facts): string {
  const width = Math.max(...Object.keys(facts).map((key) => key.length));
  const lines = Object.entries(facts).map(([key, value]) => `  ${key.padEnd(width)}  ${value ?? "-"}\n`);
  return `${title}\n${lines.join("")}`;
}
