import { text } from "node:stream/consumers";
import type { ReadStream } from "node:tty";
import { DEBUG_CONSOLE_PORT } from "../../shim/sandbox/kernel-parameters.js";
import { sandboxLayout } from "../../shim/sandbox/layout.js";
import { type Command, UsageError } from "../command.js";
import { readOptions } from "../options.js";
import { sandboxNamed } from "../sandboxes/named.js";
import { GuestError } from "./guest-error.js";
import { connectToGuest } from "./guest-port.js";
import { runInGuest, type UserSide } from "./run-in-guest.js";
import { quote } from "./script.js";

const USAGE = `\
  kata-fs exec SANDBOX                   a shell
  kata-fs exec SANDBOX -- COMMAND [ARGUMENT …]
  kata-fs exec SANDBOX < SCRIPT
  --json                                 {"status", "output"}, without a terminal

  Runs in the guest itself, as root, outside of its containers: their processes, mounts and cgroups are all to be seen. What is there is
  what the guest's image has; kata-fs's own has busybox. For a container's own view there is \`ctr task exec\`, or kubectl exec.
  Output and complaints come as one, on standard output; the exit status is the command's. Only a terminal's input is passed on.

  It is the agent's debug console (guest.debugConsole in the configuration, on unless it is switched off).

  kata-fs exec default/web -- sh -c 'dmesg | tail; cat /proc/mounts; free -m'
`;

/** What a user at a terminal gets. */
const SHELL = "exec sh -i";

export const execCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const end = words.indexOf("--");
    const own = end === -1 ? words : words.slice(0, end);
    const { values, positionals } = readOptions(own, { json: { type: "boolean", default: false } });
    const sandbox = await sandboxNamed(positionals);
    const isInteractive = process.stdin.isTTY && process.stdout.isTTY && !values.json;
    const command = await commandOf(end === -1 ? [] : words.slice(end + 1), isInteractive);
    const connection = await connectToGuest(sandboxLayout(sandbox).vsockSocket, DEBUG_CONSOLE_PORT).catch(
      explain,
    );
    if (values.json) {
      const chunks: Buffer[] = [];
      const user = { terminal: undefined, output: (bytes: Buffer) => void chunks.push(bytes), started() {} };
      const status = await runInGuest(connection, command, user);
      output.out(`${JSON.stringify({ status, output: Buffer.concat(chunks).toString() })}\n`);
      return status;
    }
    if (!isInteractive) return await runInGuest(connection, command, plainUser());
    try {
      return await runInGuest(connection, command, terminalUser(process.stdin));
    } finally {
      process.stdin.setRawMode(false);
      process.stdin.pause();
    }
  },
};

async function commandOf(words: readonly string[], isInteractive: boolean): Promise<string> {
  if (words.length > 0) return words.map(quote).join(" ");
  if (isInteractive) return SHELL;
  const script = process.stdin.isTTY ? "" : await text(process.stdin);
  if (script.trim() === "")
    throw new UsageError("no command; needed: one behind --, a script, or a terminal");
  return script;
}

function plainUser(): UserSide {
  return { terminal: undefined, output: (bytes) => void process.stdout.write(bytes), started() {} };
}

function terminalUser(stdin: ReadStream): UserSide {
  const { columns, rows } = process.stdout;
  return {
    terminal: { columns, rows },
    output: (bytes) => void process.stdout.write(bytes),
    started(send) {
      stdin.setRawMode(true);
      stdin.on("data", send);
    },
  };
}

function explain(error: unknown): never {
  if (!(error instanceof GuestError)) throw error;
  throw new GuestError(
    `${error.message}; the debug console is there while the guest runs, unless guest.debugConsole was off when it started`,
    { cause: error },
  );
}
