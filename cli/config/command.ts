import { type Command, type Output, UsageError } from "../command.js";
import { check } from "./check.js";
import { defaults } from "./defaults.js";
import { importKata } from "./import.js";
import { show } from "./show.js";

const USAGE = `\
  kata-fs config show [--config FILE] [--annotation NAME=VALUE …] [--json]
      What holds for a sandbox that starts now, each value with the place where it was set.
  kata-fs config check [FILE] [--json]
      Whether a configuration and its drop-ins can be used, and if not, the line that is wrong. Without FILE: the one in use.
  kata-fs config defaults [--json]
      Every key with its meaning, type, unit and default: a configuration file to begin with.
  kata-fs config import FILE [--json]
      Reads a configuration.toml of Kata Containers (of its Go runtime or of runtime-rs), writes what it says as a
      configuration for kata-fs to standard output, and reports on standard error what has no counterpart.

  kata-fs config import /opt/kata/share/defaults/kata-containers/configuration-qemu.toml > /etc/kata-fs/config.d/50-kata.yaml
`;

const ACTIONS: Readonly<Record<string, (words: readonly string[], output: Output) => Promise<number>>> = {
  show,
  check,
  defaults,
  import: importKata,
};

export const configCommand: Command = {
  usage: USAGE,
  run: async ([action, ...words], output) => {
    const run = action !== undefined && Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (run === undefined) {
      const found = action === undefined ? "nothing said to do" : `there is no ${action}`;
      throw new UsageError(`${found}; needed: one of ${Object.keys(ACTIONS).join(", ")}`);
    }
    return await run(words, output);
  },
};
