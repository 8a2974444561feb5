import { management } from "../proto/index.js";
import type { Command } from "./command.js";
import { readOptions } from "./options.js";
import { printable } from "./printable.js";
import { sandboxNamed } from "./sandboxes/named.js";
import { askShim } from "./sandboxes/shim-client.js";

const USAGE = `\
  kata-fs console SANDBOX [--json]

  What the guest's kernel and agent have written to its console: the last 64 KiB. Of a sandbox that is lost, the shim's log in
  containerd's log has the end of it.

  kata-fs console default/web
`;

export const consoleCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, { json: { type: "boolean", default: false } });
    const record = await sandboxNamed(positionals);
    const { text } = await askShim(record, "Console", management.Text);
    output.out(values.json ? `${JSON.stringify({ console: text })}\n` : printable(text));
    return 0;
  },
};
