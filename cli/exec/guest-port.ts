import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { GuestError } from "./guest-error.js";

/** The guest's answer to a connection takes a moment; more on a busy host under emulation. */
const CONNECT_LIMIT_MS = 10_000;
/** "OK 4294967295\n" is the longest one. */
const ANSWER_BYTES_MAX = 14;

/**
 * Connects to a vsock port of a guest, through its sandbox's UNIX socket: lib/vsock/unix-bridge.ts has the convention.
 *
 * @throws GuestError
 */
export async function connectToGuest(path: string, port: number): Promise<Socket> {
  const socket = createConnection(path);
  const late = setTimeout(
    () => socket.destroy(new GuestError("the guest does not answer")),
    CONNECT_LIMIT_MS,
  );
  try {
    await once(socket, "connect");
    socket.write(`CONNECT ${port}\n`);
    const answer = await readAnswer(socket);
    if (answer.startsWith("OK ")) return socket;
    throw new GuestError(`nobody listens at vsock port ${port} of the guest`);
  } catch (cause) {
    socket.destroy();
    if (cause instanceof GuestError) throw cause;
    throw new GuestError(`the guest cannot be reached: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  } finally {
    clearTimeout(late);
  }
}

/** The first line; what follows it stays in the socket. */
async function readAnswer(socket: Socket): Promise<string> {
  let line = "";
  while (line.length < ANSWER_BYTES_MAX && !line.endsWith("\n")) {
    const byte: Buffer | null = socket.read(1);
    if (byte !== null) line += byte.toString("latin1");
    else if (socket.readableEnded) break;
    else await Promise.race([once(socket, "readable"), once(socket, "end")]);
  }
  return line;
}
