import { once } from "node:events";
import { WebSocket } from "ws";

/** Channels of Kubernetes' remote command protocol, v4.channel.k8s.io: the first byte of each message. */
const Channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const;

/** How long something may take that a process in a container is to do, on a busy machine. */
const LIMIT_MS = 60_000;

/** How a command ended whose streams were one connection. */
export interface StreamOutcome {
  readonly stdout: string;
  readonly stderr: string;
  /** Kubernetes' status object. */
  readonly status: { readonly status?: string; readonly message?: string };
}

/** The streams of a process in a container, as `kubectl exec -i` and `kubectl attach` have them. */
export class ContainerStream {
  readonly #output = new Map<number, Buffer[]>();

  private constructor(private readonly socket: WebSocket) {
    socket.on("message", (message: Buffer) => {
      const chunks = this.#output.get(message[0] ?? 0) ?? [];
      chunks.push(message.subarray(1));
      this.#output.set(message[0] ?? 0, chunks);
      socket.emit("progress");
    });
  }

  /** @param url as CRI's Exec and Attach answer it */
  static async open(url: string): Promise<ContainerStream> {
    const socket = new WebSocket(url.replace(/^http/, "ws"), "v4.channel.k8s.io");
    const stream = new ContainerStream(socket);
    await once(socket, "open");
    return stream;
  }

  write(text: string): void {
    this.socket.send(Buffer.concat([Buffer.of(Channel.stdin), Buffer.from(text)]));
  }

  resize(width: number, height: number): void {
    const size = JSON.stringify({ Width: width, Height: height });
    this.socket.send(Buffer.concat([Buffer.of(Channel.resize), Buffer.from(size)]));
  }

  /** Waits until standard output has something that matches. @throws AbortError when nothing of the kind comes */
  async untilOutput(pattern: RegExp): Promise<string> {
    const signal = AbortSignal.timeout(LIMIT_MS);
    while (!pattern.test(this.#text(Channel.stdout))) await once(this.socket, "progress", { signal });
    return this.#text(Channel.stdout);
  }

  /** Waits for the end of the process. */
  async ended(): Promise<StreamOutcome> {
    const signal = AbortSignal.timeout(LIMIT_MS);
    if (this.socket.readyState !== WebSocket.CLOSED) await once(this.socket, "close", { signal });
    return {
      stdout: this.#text(Channel.stdout),
      stderr: this.#text(Channel.stderr),
      status: JSON.parse(this.#text(Channel.status) || "{}"),
    };
  }

  close(): void {
    this.socket.terminate();
  }

  #text(channel: number): string {
    return Buffer.concat(this.#output.get(channel) ?? []).toString();
  }
}
