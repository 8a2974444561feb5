import { closeSync, openSync } from "node:fs";
import { ConsoleSocket } from "../sys/console-socket.js";
import { openTerminal } from "../sys/terminal.js";
import { OutputReader } from "./output-reader.js";
import { type PendingIo, type ProcessIo, READ_AHEAD_BYTES } from "./process-io.js";

/** A pseudo-terminal, which the OCI runtime makes and sends to a socket at `socketPath`. */
export function createTerminalIo(socketPath: string): PendingIo {
  const socket = new ConsoleSocket(socketPath);
  const devNull = openSync("/dev/null", "r+");
  const close = () => {
    closeSync(devNull);
    socket.close();
  };
  return {
    launchIo: { stdio: [devNull, devNull, devNull], consoleSocket: socketPath },
    connect() {
      try {
        return connectTerminal(socket.takeDescriptor());
      } finally {
        close();
      }
    },
    abandon: close,
  };
}

function connectTerminal(master: number): ProcessIo {
  const { input, output, resize } = openTerminal(master, READ_AHEAD_BYTES);
  // A terminal whose processes have gone makes writes fail; they tell it themselves.
  input.on("error", () => {});
  const stdout = new OutputReader(output);
  return {
    stdin: input,
    stdout,
    // The other side may still write; hanging up would take its output too.
    closeStdin: () => {},
    resize,
    close() {
      input.destroy();
      stdout.close();
    },
  };
}
