/** Paths inside the guest OS directory, without a slash at their beginning. */
export const GuestLayout = {
  /** PID 1: starts the agent. */
  init: "usr/sbin/init",
  /** Node.js with the loader and the libraries that it was linked to on the host. */
  node: "usr/lib/kata-fs/node",
  /** What PID 1 becomes; it loads the agent itself, from a file beside it, with V8's code cache. */
  agentBundle: "usr/lib/kata-fs/agent.cjs",
  agentMainBundle: "usr/lib/kata-fs/agent-main.cjs",
  agentCodeCache: "usr/lib/kata-fs/agent-main.cjs.cache",
  nodeModules: "usr/lib/kata-fs/node_modules",
  /**
   * Kernel modules to load, one absolute path a line, dependencies first: those of each list of {@link GUEST_MODULES}, an
   * empty line between them.
   */
  moduleList: "usr/lib/kata-fs/modules",
  kernelModules: "usr/lib/modules",
} as const;

/** Kernel modules of the guest; what they depend on comes with them. */
export const GUEST_MODULES = {
  /** What the agent's connection needs. Each one delays the first answer. */
  transport: ["vmw_vsock_virtio_transport"],
  /** What containers' root file systems need: loaded when a sandbox is created. */
  fileSystems: ["overlay"],
  /** Loaded when the sandbox has a network. */
  network: ["virtio_net"],
  /** Loaded by the agent when a sandbox asks for what they do. */
  onDemand: ["virtio_rng"],
  /** For an initrd, where a guest's root is on a disk. */
  disks: ["virtio_blk"],
  /** Loaded with the first disk that is plugged in. */
  pluggedDisks: ["virtio_scsi", "sd_mod"],
} as const;
