import assert from "node:assert/strict";
import { connect, constants } from "node:http2";
import { createConnection } from "node:net";
import protobuf from "protobufjs/minimal.js";
import { containerd } from "../../proto/index.js";
import { IMAGE_NAME } from "../../setup/run/demo-image.js";
import { NAMESPACE } from "./leftovers.js";
import { type Machine, RUNTIME } from "./machine.js";

const TASKS = "/containerd.services.tasks.v1.Tasks";
/** A gRPC message has a byte that says whether it is compressed, and its length, before it. */
const PREFIX_BYTES = 5;

/** A call under way. */
export interface Call {
  /** Resolves with the answer's message, rejects with an error that has the status. */
  readonly answered: Promise<Buffer>;
  /** Takes the call back, as a client that has lost patience does. */
  cancel(): void;
}

/** Fields of the requests, all of which begin alike. */
const CONTAINER_ID = 1;
const ROOTFS = 3;
const STDOUT = 5;

/** Calls of containerd's Tasks service that ctr does not make, or not alone. */
export class TasksClient {
  /** @param address containerd's gRPC socket */
  constructor(private readonly address: string) {}

  /**
   * Creates the task of a container that has none.
   *
   * @param rootfs what `ctr snapshots mounts` printed for it
   * @param stdout a fifo; nothing for none
   */
  create(id: string, rootfs: string, stdout = ""): Call {
    const [, type = "", source = "", options = ""] =
      /^mount -t (\S+) (\S+) \S+ -o (\S+)$/.exec(rootfs.trim()) ?? [];
    const mount = containerd.Mount.encode({ type, source, options: options.split(",") }).finish();
    return this.#call("Create", named(id), field(ROOTFS, mount), field(STDOUT, Buffer.from(stdout)));
  }

  /** Starts a task that has been created. */
  async start(id: string): Promise<void> {
    await this.#call("Start", named(id)).answered;
  }

  /** Waits for a task's end. @returns its exit status */
  async wait(id: string): Promise<number> {
    const answer = await this.#call("Wait", named(id)).answered;
    // Of the same shape as the shim's.
    return containerd.WaitResponse.decode(answer).exit_status;
  }

  #call(method: string, ...fields: readonly Uint8Array[]): Call {
    const session = connect("http://containerd", { createConnection: () => createConnection(this.address) });
    const stream = session.request({
      ":method": "POST",
      ":path": `${TASKS}/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
      "containerd-namespace": NAMESPACE,
    });
    const answered = new Promise<Buffer>((resolve, reject) => {
      const received: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => received.push(chunk));
      const end = (status: unknown, message: unknown) => {
        if (status === "0") resolve(Buffer.concat(received).subarray(PREFIX_BYTES));
        else reject(new Error(`${method}: ${decodeURIComponent(String(message))} (status ${status})`));
      };
      // An error before any answer comes as headers alone.
      for (const event of ["response", "trailers"] as const) {
        stream.on(event, (headers) => {
          if (headers["grpc-status"] !== undefined) end(headers["grpc-status"], headers["grpc-message"]);
        });
      }
      stream.once("close", () => {
        session.close();
        reject(new Error(`${method}: no answer`));
      });
      stream.once("error", reject);
      session.once("error", reject);
    });
    // Whoever takes a call back, or kills containerd, need not wait for its answer.
    answered.catch(() => {});
    const message = Buffer.concat(fields);
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
    return { answered, cancel: () => stream.close(constants.NGHTTP2_CANCEL) };
  }
}

/** Makes a container and begins to create its task, which ctr does not without starting it. @param stdout a fifo */
export async function createTask(
  machine: Machine,
  suffix: string,
  command: readonly string[],
  stdout?: string,
): Promise<Call> {
  const name = machine.name(suffix);
  // ctr of 1.6 takes options of the command for its own.
  const words = ["container", "create", "--runtime", RUNTIME, "--", IMAGE_NAME, name, ...command];
  const made = await machine.ctr(words);
  assert.equal(made.status, 0, made.stderr);
  const mounts = await machine.ctr(["snapshots", "mounts", "/rootfs", name]);
  assert.equal(mounts.status, 0, mounts.stderr);
  return new TasksClient(machine.containerd.address).create(name, mounts.stdout.toString(), stdout);
}

function named(id: string): Uint8Array {
  return field(CONTAINER_ID, Buffer.from(id));
}

/** A field of a message that is a string, bytes or a message. */
function field(id: number, value: Uint8Array): Uint8Array {
  const LENGTH_DELIMITED = 2;
  return protobuf.Writer.create()
    .uint32((id << 3) | LENGTH_DELIMITED)
    .bytes(value)
    .finish();
}
