import type { Readable, Writable } from "node:stream";
import { FdStream } from "../../lib/sys/fd-stream.js";
import { close, F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from "../../lib/sys/file.js";
import { check } from "../../lib/sys/libc.js";
import { ioctl } from "./ioctl.js";
import { agentPoller } from "./poller.js";

const TIOCSWINSZ = 0x5414;

/**
 * The master side of a pseudo-terminal, pty(7). Each direction has a descriptor of its own: input that nobody takes any more must not
 * end the output. Closing both hangs up.
 *
 * Not Node's tty.ReadStream: libuv takes the hang-up for the end though the kernel still has output, and its writes block the
 * whole process while the terminal takes no more.
 */
export interface Terminal {
  readonly input: Writable;
  /** Ends when the last process has closed its side and everything is read. */
  readonly output: Readable;
  resize(rows: number, columns: number): void;
}

/** Takes over `master`. @throws SysError */
export function openTerminal(master: number, readAheadBytes?: number): Terminal {
  let inputFd: number;
  try {
    const flags = check(fcntl(master, F_GETFL, 0), "fcntl F_GETFL");
    check(fcntl(master, F_SETFL, flags | O_NONBLOCK), "fcntl F_SETFL");
    inputFd = check(fcntl(master, F_DUPFD_CLOEXEC, 0), "fcntl F_DUPFD_CLOEXEC");
  } catch (error) {
    close(master);
    throw error;
  }
  return {
    input: new FdStream(inputFd, agentPoller()),
    output: new FdStream(master, agentPoller(), readAheadBytes),
    resize: (rows, columns) => setSize(master, rows, columns),
  };
}

/** `struct winsize`: rows, columns, and two sizes in pixels that nobody knows. */
function setSize(fd: number, rows: number, columns: number): void {
  ioctl(fd, TIOCSWINSZ, "TIOCSWINSZ", new Uint16Array([rows, columns, 0, 0]));
}
