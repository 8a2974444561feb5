import type { Duplex } from "node:stream";

/** A QMP command that QEMU refused, or a monitor that is gone. */
export class QmpError extends Error {
  override readonly name = "QmpError";
}

/** One event of QEMU, such as "SHUTDOWN". */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Waiting {
  readonly command: string;
  resolve(result: unknown): void;
  reject(error: QmpError): void;
}

/** Sends a line with a descriptor, which stays the caller's, past the stream; waits for room. */
export type SendDescriptor = (line: Uint8Array, fd: number) => void;

/** Longer lines are no QMP: QEMU's longest answers have some hundred kilobytes. */
const LINE_LIMIT_BYTES = 8 << 20;

/**
 * Client of QEMU's monitor (docs/interop/qmp-spec): JSON objects, one a line. Commands may be sent without waiting for
 * earlier ones; each answer is matched by its id.
 */
export class QmpClient {
  /** What the greeting says, such as "11.1.3". */
  readonly version: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: Set<(event: QmpEvent) => void>;
  #nextId = 1;
  #closed: QmpError | undefined;

  private constructor(
    private readonly stream: Duplex,
    greeting: Greeting,
    onEvent: (event: QmpEvent) => void,
    private readonly sendDescriptor: SendDescriptor | undefined,
  ) {
    this.version = greeting.version;
    this.#listeners = new Set([onEvent]);
  }

  /**
   * Speaks QMP on a connected stream: waits for the greeting and ends the negotiation.
   *
   * @param sendDescriptor what {@link execute} with a descriptor needs
   * @throws QmpError when the stream ends first or something else than QMP comes.
   */
  static connect(
    stream: Duplex,
    onEvent: (event: QmpEvent) => void,
    sendDescriptor?: SendDescriptor,
  ): Promise<QmpClient> {
    return new Promise((resolve, reject) => {
      let client: QmpClient | undefined;
      readLines(stream, {
        line(line) {
          if (client !== undefined) {
            client.#take(line);
            return;
          }
          client = new QmpClient(stream, parseGreeting(line), onEvent, sendDescriptor);
          const ready = client;
          client.execute("qmp_capabilities").then(() => resolve(ready), reject);
        },
        end(error) {
          if (client !== undefined) client.#close(error);
          reject(error);
        },
      });
    });
  }

  /**
   * Executes a command and returns what QEMU answers.
   *
   * @throws QmpError when QEMU refuses it or the monitor closes first.
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#execute(command, args, (line) => this.stream.write(line));
  }

  /**
   * The same, with a descriptor that goes to QEMU, such as for add-fd. One at a time: QEMU keeps those of the last message only.
   *
   * @throws QmpError, SysError
   */
  async executeWith(fd: number, command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { sendDescriptor } = this;
    if (sendDescriptor === undefined) throw new QmpError("the monitor takes no descriptors");
    // Not into the middle of a line that the stream still has.
    while (this.stream.writableLength > 0 && this.#closed === undefined) await this.#flushed();
    // Its number may be another file's already.
    if (this.stream.destroyed) throw new QmpError("QMP: the monitor is closed");
    return await this.#execute(command, args, (line) => sendDescriptor(Buffer.from(line), fd));
  }

  /** Calls `listener` with each event until the function that is returned is called. */
  listen(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #execute(
    command: string,
    args: Readonly<Record<string, unknown>> | undefined,
    send: (line: string) => void,
  ): Promise<unknown> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { command, resolve, reject });
      send(`${JSON.stringify({ execute: command, id, ...(args && { arguments: args }) })}\n`);
    });
  }

  /** Resolves when all that was written so far is out, or the stream is gone. */
  #flushed(): Promise<void> {
    return new Promise((resolve) => this.stream.write("\n", () => resolve()));
  }

  close(): void {
    this.stream.destroy();
  }

  #take(line: string): void {
    const { event, data, id, error, return: result } = parseObject(line);
    if (typeof event === "string") {
      for (const listener of this.#listeners) listener({ name: event, data: isObject(data) ? data : {} });
      return;
    }
    const waiting = this.#waiting.get(Number(id));
    if (waiting === undefined) throw new QmpError(`an answer that nobody waits for: ${line.slice(0, 200)}`);
    this.#waiting.delete(Number(id));
    if (isObject(error)) {
      const { desc } = error;
      waiting.reject(new QmpError(`QMP ${waiting.command}: ${desc}`));
    } else {
      waiting.resolve(result);
    }
  }

  #close(error: QmpError): void {
    this.#closed = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

interface LineHandler {
  line(line: string): void;
  /** Called once, at the end or after an error; an error thrown by `line` counts as one. */
  end(error: QmpError): void;
}

function readLines(stream: Duplex, handler: LineHandler): void {
  let buffered = "";
  let ended = false;
  const end = (reason: string) => {
    if (ended) return;
    ended = true;
    stream.destroy();
    handler.end(new QmpError(`QMP: ${reason}`));
  };
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    buffered += chunk;
    const lines = buffered.split("\n");
    buffered = lines.pop() ?? "";
    if (buffered.length > LINE_LIMIT_BYTES) return end("a line without end");
    try {
      for (const line of lines) if (!ended && line.trim() !== "") handler.line(line);
    } catch (error) {
      end(error instanceof Error ? error.message : String(error));
    }
  });
  stream.on("error", (error) => end(error.message));
  for (const last of ["end", "close"]) stream.on(last, () => end("the monitor is closed"));
}

interface Greeting {
  readonly version: string;
}

function parseGreeting(line: string): Greeting {
  const { QMP: greeting } = parseObject(line);
  const { version } = isObject(greeting) ? greeting : {};
  const { qemu } = isObject(version) ? version : {};
  if (!isObject(qemu)) throw new QmpError(`no greeting of QEMU: ${line.slice(0, 200)}`);
  const { major, minor, micro } = qemu;
  return { version: `${major}.${minor}.${micro}` };
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new QmpError(`not JSON: ${line.slice(0, 200)}`, { cause });
  }
  if (!isObject(value)) throw new QmpError(`not an object: ${line.slice(0, 200)}`);
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
