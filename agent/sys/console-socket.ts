import { closeSync, rmSync } from "node:fs";
import { PollSet } from "../../lib/sys/poll.js";
import { acceptUnix, listenUnix, MessageSocket } from "../../lib/sys/unix-socket.js";
import { AgentError } from "../error.js";

/** The message has the terminal's name, which does not matter. */
const MESSAGE_MAX_BYTES = 4096;

/**
 * The receiving end of the console socket protocol: the OCI runtime connects and sends one message with the descriptor of
 * the terminal's master side.
 */
export class ConsoleSocket {
  readonly #fd: number;

  /** Listens at `path`. Throws a SysError. */
  constructor(private readonly path: string) {
    this.#fd = listenUnix(path);
  }

  /**
   * The descriptor that was sent, close-on-exec. To be called when the runtime has succeeded: then the message is there, though
   * its sender has gone. Throws AgentError INTERNAL when it is not.
   */
  takeDescriptor(): number {
    const waiting = new PollSet(1);
    waiting.add(this.#fd);
    const fds = waiting.wait(0) > 0 ? receiveDescriptors(acceptUnix(this.#fd)) : [];
    const [terminal, ...others] = fds;
    for (const fd of others) closeSync(fd);
    if (terminal === undefined) throw new AgentError("INTERNAL", "the OCI runtime sent no terminal");
    return terminal;
  }

  close(): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
  }
}

function receiveDescriptors(fd: number): number[] {
  const connection = new MessageSocket(fd);
  const message = Buffer.alloc(MESSAGE_MAX_BYTES);
  const fds: number[] = [];
  try {
    connection.receive(message, 0, message.length, fds);
    return fds;
  } finally {
    connection.close();
  }
}
