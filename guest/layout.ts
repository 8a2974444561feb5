/** Paths inside the guest OS directory, without a slash at their beginning. */
export const GuestLayout = {
  /** PID 1: starts the agent. */
  init: "usr/sbin/init",
  /** Node.js with the loader and the libraries that it was linked to on the host. */
  node: "usr/lib/kata-fs/node",
  agentBundle: "usr/lib/kata-fs/agent.cjs",
  nodeModules: "usr/lib/kata-fs/node_modules",
  /**
   * Kernel modules to load, one absolute path a line, dependencies first: those of {@link GUEST_MODULES.atBoot}, an empty
   * line, those of {@link GUEST_MODULES.onDemand}.
   */
  moduleList: "usr/lib/kata-fs/modules",
  kernelModules: "usr/lib/modules",
} as const;

/** Kernel modules of the guest; what they depend on comes with them. */
export const GUEST_MODULES = {
  /** What the agent's connection and layered root file systems need. Each one costs start-up time. */
  atBoot: ["vmw_vsock_virtio_transport", "overlay"],
  /** Loaded by the agent when a sandbox asks for what they do. */
  onDemand: ["virtio_net", "virtio_rng"],
} as const;
