import { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { messageOf, ShimError, StatusCode } from "../../error.js";
import { JsonReader } from "../oci/json-reader.js";

/** A sandbox's network namespace, and where it is found; empty for one that has no name. */
export interface PodNamespace {
  readonly namespace: NetworkNamespace;
  readonly path: string;
}

/**
 * The network namespace of a sandbox, open: the one that its configuration names, which CNI has made ready, or a new one without any network,
 * for a container that nobody has made a network for, or that was to have the host's.
 *
 * @param config config.json of the sandbox
 * @throws ShimError FAILED_PRECONDITION when it is not there, INVALID_ARGUMENT when it is the host's own
 */
export function openPodNamespace(config: unknown): PodNamespace {
  const namespaces = JsonReader.of(config, "config.json").object("linux").objects("namespaces");
  const path = namespaces.find((namespace) => namespace.text("type") === "network")?.text("path") ?? "";
  if (path === "") return { namespace: NetworkNamespace.create(), path };
  const namespace = openAt(path);
  if (!namespace.isOwn) return { namespace, path };
  namespace.close();
  throw new ShimError(
    StatusCode.INVALID_ARGUMENT,
    `hostNetwork: true is not supported by kata-fs: ${path} is the host's own network namespace, and a pod has that of its virtual machine`,
  );
}

function openAt(path: string): NetworkNamespace {
  try {
    return NetworkNamespace.open(path);
  } catch (cause) {
    throw new ShimError(
      StatusCode.FAILED_PRECONDITION,
      `network namespace ${path}: ${messageOf(cause)}; needed: the one that CNI has made for the sandbox`,
      { cause },
    );
  }
}
