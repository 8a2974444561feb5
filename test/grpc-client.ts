import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { Codec } from "../lib/ttrpc/index.js";

/** A VM boots within one call; on a busy machine without KVM that takes a while. */
const CALL_LIMIT_MS = 120_000;

/** Unary calls of one gRPC service on a UNIX socket. They fail with the ServiceError of grpc-js. */
export class GrpcClient {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  /**
   * @param service with its package, as in the path of a call
   * @param namespace containerd's, where the service has them
   */
  constructor(
    socketPath: string,
    private readonly service: string,
    namespace?: string,
  ) {
    this.#client = new Client(`unix://${socketPath}`, credentials.createInsecure());
    if (namespace !== undefined) this.#metadata.set("containerd-namespace", namespace);
  }

  close(): void {
    this.#client.close();
  }

  call<I, O>(
    method: string,
    input: Pick<Codec<I, unknown>, "encode">,
    output: Pick<Codec<never, O>, "decode">,
    request: I,
  ): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<I, O>(
        `/${this.service}/${method}`,
        (message) => Buffer.from(input.encode(message).finish()),
        (bytes) => output.decode(bytes),
        request,
        this.#metadata,
        { deadline: Date.now() + CALL_LIMIT_MS },
        (error: ServiceError | null, answer?: O) => {
          if (error !== null) reject(error);
          else if (answer === undefined) reject(new Error(`${method}: no answer`));
          else resolve(answer);
        },
      );
    });
  }
}
