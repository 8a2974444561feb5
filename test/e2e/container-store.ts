import { containers } from "../../proto/index.js";
import { GrpcClient } from "../grpc-client.js";

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
  const client = new GrpcClient(address, "containerd.services.containers.v1.Containers", namespace);
  const { GetContainerRequest, GetContainerResponse, UpdateContainerRequest, Empty } = containers;
  try {
    const { container } = await client.call("Get", GetContainerRequest, GetContainerResponse, { id });
    const stored = container?.spec;
    if (!stored) throw new Error(`container ${id} has no specification`);
    const spec: Spec = JSON.parse(Buffer.from(stored.value).toString());
    edit(spec);
    const changed = { type_url: stored.type_url, value: Buffer.from(JSON.stringify(spec)) };
    const update = { container: { id, spec: changed }, update_mask: { paths: ["spec"] } };
    await client.call("Update", UpdateContainerRequest, Empty, update);
  } finally {
    client.close();
  }
}
