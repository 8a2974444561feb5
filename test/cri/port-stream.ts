import { once } from "node:events";
import { WebSocket } from "ws";

/** Channels of one port: the first byte of each message. The first message of each has the port's number. */
const Channel = { data: 0, error: 1 } as const;
const LIMIT_MS = 60_000;

/**
 * Sends `request` to a port of a pod as `kubectl port-forward` does, and waits for an answer that is whole.
 *
 * @param url as CRI's PortForward answers it
 * @returns the answer; throws what the runtime says of a port that cannot be reached
 */
export async function exchange(
  url: string,
  port: number,
  request: string,
  isWhole: (answer: string) => boolean,
): Promise<string> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}?port=${port}`, "v4.channel.k8s.io");
  const chunks: Buffer[][] = [[], []];
  const seen = new Set<number>();
  socket.on("message", (message: Buffer) => {
    const channel = message[0] ?? 0;
    if (seen.has(channel)) chunks[channel]?.push(message.subarray(1));
    seen.add(channel);
    socket.emit("progress");
  });
  const closed = once(socket, "close").then(() => socket.emit("progress"));
  const signal = AbortSignal.timeout(LIMIT_MS);
  try {
    await once(socket, "open", { signal });
    socket.send(Buffer.concat([Buffer.of(Channel.data), Buffer.from(request)]));
    for (;;) {
      const [data = "", error = ""] = chunks.map((each) => Buffer.concat(each).toString());
      if (error !== "") throw new Error(error);
      if (data !== "" && isWhole(data)) return data;
      if (socket.readyState === WebSocket.CLOSED) throw new Error(`closed after ${data.length} characters`);
      await once(socket, "progress", { signal });
    }
  } finally {
    socket.terminate();
    await closed;
  }
}
