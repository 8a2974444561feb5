import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { containers } from "../../proto/index.js";

/** An OCI specification, as far as tests look into it. */
export interface Spec {
  hostname?: string;
  process: {
    user: { additionalGids?: number[] };
    rlimits?: { type: string; hard: number; soft: number }[];
    [field: string]: unknown;
  };
  linux: { sysctl?: Record<string, string>; [field: string]: unknown };
  [field: string]: unknown;
}

/**
 * containerd's store of containers, for what ctr has no flag for: the specification of a container that is made and not started.
 *
 * @param address path of containerd's socket
 */
export async function editSpec(
  address: string,
  namespace: string,
  id: string,
  edit: (spec: Spec) => void,
): Promise<void> {
  const client = new Client(`unix://${address}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("containerd-namespace", namespace);
  const call = <O>(method: string, request: Uint8Array, decode: (bytes: Buffer) => O): Promise<O> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `/containerd.services.containers.v1.Containers/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        decode,
        request,
        metadata,
        (error: ServiceError | null, answer?: O) => {
          if (answer === undefined) reject(error);
          else resolve(answer);
        },
      );
    });
  try {
    const { GetContainerRequest, GetContainerResponse, UpdateContainerRequest, Empty } = containers;
    const { container } = await call("Get", GetContainerRequest.encode({ id }).finish(), (bytes) =>
      GetContainerResponse.decode(bytes),
    );
    const stored = container?.spec;
    if (!stored) throw new Error(`container ${id} has no specification`);
    const spec: Spec = JSON.parse(Buffer.from(stored.value).toString());
    edit(spec);
    const changed = { type_url: stored.type_url, value: Buffer.from(JSON.stringify(spec)) };
    const update = { container: { id, spec: changed }, update_mask: { paths: ["spec"] } };
    await call("Update", UpdateContainerRequest.encode(update).finish(), (bytes) => Empty.decode(bytes));
  } finally {
    client.close();
  }
}
