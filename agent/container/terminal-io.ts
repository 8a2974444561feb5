import { closeSync, openSync } from "node:fs";
import { ReadStream } from "node:tty";
import { addressOf, bind, check } from "../../lib/sys/libc.js";
import { ConsoleSocket } from "../sys/console-socket.js";
import { OutputReader } from "./output-reader.js";
import type { PendingIo, ProcessIo } from "./process-io.js";

const ioctl = bind<(fd: number, request: number, argument: number) => number>(
  "int ioctl(int fd, uint64_t request, uintptr_t argument)",
);
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
  const terminal = new ReadStream(fd);
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
  const winsize = new Uint16Array([rows, columns, 0, 0]);
  check(ioctl(fd, TIOCSWINSZ, addressOf(winsize)), "ioctl TIOCSWINSZ");
}
