import { containerd } from "../../proto/index.js";

/** What CreateSandbox says of a pod. */
export interface PodRequest {
  readonly id: string;
  /** The pod's network namespace on the host; empty for the host's own. */
  readonly networkNamespace: string;
  readonly pod: containerd.PodSandboxConfig;
}

/**
 * The OCI configuration that the container of a pod's sandbox would have, if containerd ran one: all that brings up and cleans up a sandbox reads
 * it. Process and root are missing, since there is no container.
 */
export function sandboxConfigOf({ id, networkNamespace, pod }: PodRequest): object {
  const linux = pod.linux ?? new containerd.PodSandboxLinux();
  const { network, pid, ipc } =
    linux.security_context?.namespace_options ?? new containerd.PodSandboxNamespaces();
  const resources = linux.resources ?? new containerd.PodSandboxResources();
  const isOwn = (mode: containerd.NamespaceMode) => mode !== containerd.NamespaceMode.NODE;
  return {
    ociVersion: "1.0.2",
    hostname: pod.hostname,
    annotations: {
      ...pod.annotations,
      "io.kubernetes.cri.container-type": "sandbox",
      "io.kubernetes.cri.sandbox-id": id,
      "io.kubernetes.cri.sandbox-cpu-period": `${resources.cpu_period}`,
      "io.kubernetes.cri.sandbox-cpu-quota": `${resources.cpu_quota}`,
      "io.kubernetes.cri.sandbox-memory": `${resources.memory_limit_in_bytes}`,
    },
    linux: {
      ...(linux.cgroup_parent !== "" && { cgroupsPath: `${linux.cgroup_parent}/${id}` }),
      sysctl: linux.sysctls,
      namespaces: [
        { type: "mount" },
        { type: "uts" },
        ...(isOwn(pid) ? [{ type: "pid" }] : []),
        ...(isOwn(ipc) ? [{ type: "ipc" }] : []),
        ...(isOwn(network) ? [{ type: "network", path: networkNamespace }] : []),
      ],
    },
  };
}
