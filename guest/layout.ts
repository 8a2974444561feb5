/** Paths inside the guest OS directory, without a slash at their beginning. */
export const GuestLayout = {
  /** PID 1: starts the agent. */
  init: "usr/sbin/init",
  /** Node.js with the loader and the libraries that it was linked to on the host. */
  node: "usr/lib/kata-fs/node",
  agentBundle: "usr/lib/kata-fs/agent.cjs",
  nodeModules: "usr/lib/kata-fs/node_modules",
  /** Kernel modules to load at boot, one absolute path a line, dependencies first. */
  moduleList: "usr/lib/kata-fs/modules",
  kernelModules: "usr/lib/modules",
} as const;

/**
 * Modules that the agent and containers need: vsock for the agent's connection, overlay for layered root file systems,
 * a network device, and what container network and cgroup set-up commonly asks for.
 */
export const GUEST_MODULES: readonly string[] = [
  "vmw_vsock_virtio_transport",
  "overlay",
  "virtio_net",
  "virtio_rng",
  "af_packet",
];
