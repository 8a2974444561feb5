import { connect, type Socket } from "node:net";
import { callUnary, createClient, StatusCode, type TtrpcClient, TtrpcError } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import type { Logger } from "../log/logger.js";
import { timeLimitMs } from "../time-limits.js";
import { encodeEvent } from "./encode.js";
import { EventQueue, EventRejected } from "./event-queue.js";
import type { EventPublisher, TaskEvent } from "./task-events.js";

const SERVICE = "containerd.services.events.ttrpc.v1.Events";

/** Statuses that tell of the way to containerd, not of the event. */
const RETRIED: ReadonlySet<number> = new Set([
  StatusCode.UNAVAILABLE,
  StatusCode.DEADLINE_EXCEEDED,
  StatusCode.CANCELLED,
]);

/** A publisher that the shim waits for at its end. */
export interface FlushablePublisher extends EventPublisher {
  /** Waits until what was published is delivered, at most `timeoutMs`, and closes the connection. */
  flush(timeoutMs: number): Promise<void>;
}

/**
 * Publishes events to containerd over ttrpc.
 *
 * @param address TTRPC_ADDRESS of the environment; a runtime that has no such socket (CRI-O) does without events
 */
export function createEventPublisher(
  address: string | undefined,
  namespace: string,
  logger: Logger,
): FlushablePublisher {
  if (address === undefined || address === "") {
    logger.info("TTRPC_ADDRESS is not set: no events are published");
    return { publish() {}, async flush() {} };
  }
  return new TtrpcPublisher(address.replace(/^unix:\/\//, ""), namespace, logger);
}

class TtrpcPublisher implements FlushablePublisher {
  readonly #path: string;
  readonly #namespace: string;
  readonly #queue: EventQueue<{ readonly topic: string; readonly envelope: containerd.Envelope.$Properties }>;
  #client: TtrpcClient | undefined;

  constructor(path: string, namespace: string, logger: Logger) {
    this.#path = path;
    this.#namespace = namespace;
    this.#queue = new EventQueue(({ envelope }) => this.#forward(envelope), logger);
  }

  publish(event: TaskEvent): void {
    this.#queue.push({ topic: event.topic, envelope: encodeEvent(event, this.#namespace, new Date()) });
  }

  async flush(timeoutMs: number): Promise<void> {
    await this.#queue.flush(timeoutMs);
    this.#client?.close();
  }

  async #forward(envelope: containerd.Envelope.$Properties): Promise<void> {
    const client = await this.#connected();
    try {
      const { ForwardRequest, Empty } = containerd;
      await callUnary(
        client,
        SERVICE,
        "Forward",
        ForwardRequest,
        Empty,
        { envelope },
        { timeoutMs: timeLimitMs("eventSeconds") },
      );
    } catch (error) {
      const isRejected = error instanceof TtrpcError && !RETRIED.has(error.code);
      if (isRejected) throw new EventRejected(error.rawMessage, { cause: error });
      client.close();
      throw error;
    }
  }

  async #connected(): Promise<TtrpcClient> {
    if (this.#client !== undefined) return this.#client;
    const client = createClient(await connectTo(this.#path));
    this.#client = client;
    void client.closed.then(() => {
      if (this.#client === client) this.#client = undefined;
    });
    return client;
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
