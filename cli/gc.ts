import { rmSync } from "node:fs";
import { socketPath } from "../shim/address.js";
import { messageOf } from "../shim/error.js";
import { cleanUpDirectory } from "../shim/sandbox/clean-up.js";
import { layoutOf } from "../shim/sandbox/layout.js";
import type { Command } from "./command.js";
import { UsageError } from "./command.js";
import { readOptions } from "./options.js";
import { inspectSandboxes, type SandboxState } from "./sandboxes/inspect.js";

const USAGE = `\
  kata-fs gc [--dry-run] [--json]

  Removes what sandboxes left whose shims are gone: processes, control groups, sockets, directories. containerd does that itself
  when it sees the end of a shim; this is for what it did not see, such as a crash of containerd or of the machine's services.
  Exit status 1 when something could not be removed.
`;

export const gcCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const dead = (await inspectSandboxes()).filter(({ condition }) => condition === "dead");
    const outcomes = [];
    for (const sandbox of dead) {
      const problem = values["dry-run"] ? undefined : await remove(sandbox);
      const { name, directory, otherPids } = sandbox;
      outcomes.push({ name, directory, processes: otherPids, problem });
    }
    if (values.json) output.out(`${JSON.stringify(outcomes, undefined, 2)}\n`);
    else output.out(describe(outcomes, values["dry-run"]));
    return outcomes.every(({ problem }) => problem === undefined) ? 0 : 1;
  },
};

/** @returns what went wrong */
async function remove({ directory, record }: SandboxState): Promise<string | undefined> {
  try {
    await cleanUpDirectory(layoutOf(directory));
    if (record !== undefined) {
      rmSync(socketPath(record.address, record.namespace, record.id), { force: true });
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function describe(
  outcomes: readonly { name: string; processes: readonly number[]; problem: string | undefined }[],
  isDryRun: boolean,
): string {
  if (outcomes.length === 0) return "nothing is left of dead sandboxes\n";
  const verb = isDryRun ? "would be removed" : "removed";
  return outcomes
    .map(({ name, processes, problem }) => {
      const living = processes.length === 0 ? "" : `, with its processes ${processes.join(", ")}`;
      return problem === undefined ? `${name}: ${verb}${living}\n` : `${name}: not removed: ${problem}\n`;
    })
    .join("");
}
