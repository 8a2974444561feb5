import { ShimError, StatusCode } from "./error.js";

/**
 * What a container is to its VM: `sandbox` is a pod's first container and brings the VM up, `pod-container` joins it,
 * `single` stands alone (ctr, nerdctl, docker) and has a VM to itself.
 */
export type ContainerType =
  | { readonly kind: "sandbox" | "single" }
  | { readonly kind: "pod-container"; readonly sandboxId: string };

/** Annotations by which the callers of a shim tell a pod's sandbox from its containers. */
const DIALECTS = [
  {
    type: "io.kubernetes.cri.container-type",
    sandbox: "sandbox",
    sandboxId: "io.kubernetes.cri.sandbox-id",
  },
  {
    type: "io.kubernetes.cri-o.ContainerType",
    sandbox: "sandbox",
    sandboxId: "io.kubernetes.cri-o.SandboxID",
  },
] as const;

/**
 * Reads the container's type from its OCI annotations.
 *
 * @throws ShimError INVALID_ARGUMENT for a type that is none, or a pod's container without the id of its sandbox
 */
export function containerTypeOf(annotations: Readonly<Record<string, string>>): ContainerType {
  for (const dialect of DIALECTS) {
    const type = annotations[dialect.type];
    if (type === undefined) continue;
    if (type === dialect.sandbox) return { kind: "sandbox" };
    if (type !== "container") {
      throw new ShimError(
        StatusCode.INVALID_ARGUMENT,
        `annotation ${dialect.type} is "${type}"; it must be ${dialect.sandbox} or container`,
      );
    }
    const sandboxId = annotations[dialect.sandboxId];
    if (sandboxId === undefined || sandboxId === "") {
      throw new ShimError(
        StatusCode.INVALID_ARGUMENT,
        `annotation ${dialect.sandboxId} is missing; a pod's container needs it`,
      );
    }
    return { kind: "pod-container", sandboxId };
  }
  return { kind: "single" };
}
