import { closeSync, openSync } from "node:fs";
import { ReadStream } from "node:tty";
import { ConsoleSocket } from "../sys/console-socket.js";
import { ioctl } from "../sys/ioctl.js";
import { OutputReader } from "./output-reader.js";
import { type PendingIo, type ProcessIo, READ_AHEAD_BYTES } from "./process-io.js";

const TIOCSWINSZ = 0x5414;

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

function connectTerminal(fd: number): ProcessIo {
  // Its name notwithstanding it is both sides of the terminal, as every net.Socket is.
  const options = { readable: true, writable: true, highWaterMark: READ_AHEAD_BYTES };
  const terminal = new ReadStream(fd, options);
  const stdout = new OutputReader(terminal);
  return {
    stdin: terminal,
    stdout,
    // The other side may still write; hanging up would take its output too.
    closeStdin: () => {},
    resize: (rows, columns) => setSize(fd, rows, columns),
    close: () => stdout.close(),
  };
}

/** `struct winsize`: rows, columns, and two sizes in pixels that nobody knows. */
function setSize(fd: number, rows: number, columns: number): void {
  ioctl(fd, TIOCSWINSZ, "TIOCSWINSZ", new Uint16Array([rows, columns, 0, 0]));
}
