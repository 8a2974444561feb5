import { connect, constants } from "node:http2";
import { createConnection } from "node:net";
import protobuf from "protobufjs/minimal.js";
import { containerd } from "../../proto/index.js";
import { NAMESPACE } from "./leftovers.js";

const TASKS = "/containerd.services.tasks.v1.Tasks";
/** A gRPC message has a byte that says whether it is compressed, and its length, before it. */
const PREFIX_BYTES = 5;

/** A call under way. */
export interface Call {
  /** Resolves when it has been answered without an error. */
  readonly answered: Promise<void>;
  /** Takes the call back, as a client that has lost patience does. */
  cancel(): void;
}

/** Calls of containerd's Tasks service that ctr does not make alone. */
export class TasksClient {
  /** @param address containerd's gRPC socket */
  constructor(private readonly address: string) {}

  /** Creates the task of a container that has none, without streams. @param rootfs what `ctr snapshots mounts` printed for it */
  create(id: string, rootfs: string): Call {
    const [, type = "", source = "", options = ""] =
      /^mount -t (\S+) (\S+) \S+ -o (\S+)$/.exec(rootfs.trim()) ?? [];
    const mount = containerd.Mount.encode({ type, source, options: options.split(",") }).finish();
    const CONTAINER_ID = 1;
    const ROOTFS = 3;
    return this.#call("Create", field(CONTAINER_ID, Buffer.from(id)), field(ROOTFS, mount));
  }

  /** Starts a task that has been created. */
  start(id: string): Call {
    const CONTAINER_ID = 1;
    return this.#call("Start", field(CONTAINER_ID, Buffer.from(id)));
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
    const answered = new Promise<void>((resolve, reject) => {
      const end = (status: unknown, message: unknown) => {
        if (status === "0") resolve();
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
    stream.resume();
    stream.end(Buffer.concat([prefix, message]));
    return { answered, cancel: () => stream.close(constants.NGHTTP2_CANCEL) };
  }
}

/** A field of a message that is a string, bytes or a message. */
function field(id: number, value: Uint8Array): Uint8Array {
  const LENGTH_DELIMITED = 2;
  return protobuf.Writer.create()
    .uint32((id << 3) | LENGTH_DELIMITED)
    .bytes(value)
    .finish();
}
