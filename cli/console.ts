import { management } from "../proto/index.js";
import type { Command } from "./command.js";
import { UsageError } from "./command.js";
import { readOptions } from "./options.js";
import { findSandbox } from "./sandboxes/inspect.js";
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
    const [word, ...others] = positionals;
    if (word === undefined) throw new UsageError("no sandbox; needed: its id");
    if (others.length > 0) throw new UsageError(`unexpected argument ${others[0]}`);
    const { record } = await findSandbox(word);
    if (record === undefined)
      throw new UsageError(`${word} has no record of whose it is; \`kata-fs gc\` removes it`);
    const { text } = await askShim(record, "Console", management.Text);
    output.out(values.json ? `${JSON.stringify({ console: text })}\n` : printable(text));
    return 0;
  },
};

/** Without what a guest could do to a terminal: control characters other than line breaks and tabs. */
export function printable(text: string): string {
  return text.replaceAll("\r\n", "\n").replaceAll(/(?![\n\t])\p{Cc}/gu, "");
}
