import { setTimeout as delay } from "node:timers/promises";
import { TtrpcError } from "../../lib/ttrpc/index.js";
import { management } from "../../proto/index.js";
import type { SandboxRecord } from "../../shim/sandbox/record.js";
import type { Command } from "../command.js";
import { readOptions } from "../options.js";
import { sandboxNamed } from "../sandboxes/named.js";
import { askShim } from "../sandboxes/shim-client.js";
import { wantsColour } from "../terminal.js";
import { formatHistory } from "./format.js";

const USAGE = `\
  kata-fs logs SANDBOX [--container ID] [--follow] [--json]

  The last 64 KiB of what the sandbox's shim has logged, as logfmt. Lines with source=agent are those of the agent in its guest;
  runtime.logLevel: debug adds the guest's kernel (source=console), QEMU's events and kata-fsd.

  --container ID   only lines about this container
  --follow, -f     go on until the shim ends
  --json           an object a line

  The same lines are in containerd's log, also after the sandbox's end: journalctl --unit containerd | grep sandbox=ID

  kata-fs logs default/web --follow
`;

/** Between two looks at a log that is followed. */
const FOLLOW_MS = 500;

export const logsCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      container: { type: "string" },
      follow: { type: "boolean", short: "f", default: false },
      json: { type: "boolean", default: false },
    });
    const sandbox = await sandboxNamed(positionals);
    const style = values.json ? "json" : wantsColour() ? "coloured" : "plain";
    const print = (text: string) => output.out(formatHistory(text, style, { container: values.container }));
    let since: number | undefined = await printSince(sandbox, 0, print);
    while (values.follow && since !== undefined) {
      await delay(FOLLOW_MS);
      since = await printSince(sandbox, since, print).catch(endedOrThrow);
    }
    return 0;
  },
};

async function printSince(
  sandbox: SandboxRecord,
  since: number,
  print: (text: string) => void,
): Promise<number> {
  const request = { codec: management.LogRequest, message: { since } };
  const { text, end } = await askShim(sandbox, "Log", management.LogResponse, request);
  print(text);
  return end;
}

/** A shim that has answered before and does not any more has ended. */
function endedOrThrow(error: unknown): undefined {
  if (!(error instanceof TtrpcError)) throw error;
  return undefined;
}
