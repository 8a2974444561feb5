import { openSync } from "node:fs";
import { close } from "../../lib/sys/file.js";
import { connectUnix } from "../../lib/sys/unix-socket.js";

/** The number under which QEMU has its end of the monitor. */
export const QMP_FD = 3;

/**
 * Descriptors that are opened for QEMU, which is a user without rights to open them itself. It inherits them under the numbers
 * that follow {@link QMP_FD}, in the order in which they were added.
 */
export class InheritedDescriptors {
  readonly #fds: number[] = [];

  /** A connection to a socket. @returns its number in QEMU @throws SysError */
  connect(socketPath: string): number {
    return QMP_FD + this.#fds.push(connectUnix(socketPath));
  }

  /** A file, for reading. @returns its number in QEMU @throws SysError */
  open(path: string): number {
    return QMP_FD + this.#fds.push(openSync(path, "r"));
  }

  /** A descriptor that is open already. It is taken over. @returns its number in QEMU */
  adopt(fd: number): number {
    return QMP_FD + this.#fds.push(fd);
  }

  /** The descriptors by the numbers of this process. */
  get own(): readonly number[] {
    return this.#fds;
  }

  /** Closes this process's copies: a back end then sees the end of its connection with the end of QEMU. */
  close(): void {
    for (const fd of this.#fds.splice(0)) close(fd);
  }
}
