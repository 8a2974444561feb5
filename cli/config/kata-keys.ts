/** What becomes of a key of Kata's configuration.toml. */
export type Rule =
  /** Sets keys of ours. Nothing to set: the value is kata-fs's own default. undefined: this value has no counterpart. */
  | { readonly kind: "taken"; set(value: unknown): readonly Target[] | undefined; readonly note?: string }
  /** kata-fs does so, or need not, whatever the value is. */
  | { readonly kind: "settled"; readonly why: string }
  /** kata-fs cannot do it. */
  | { readonly kind: "none"; readonly why: string };

/** A key of ours and its value as YAML would have it. */
export type Target = readonly [section: string, key: string, value: unknown];

/** The largest DAX window that kata-fs takes. */
const DAX_WINDOW_MAX_MIB = 512;

const to = (section: string, key: string, note?: string): Rule => ({
  kind: "taken",
  set: (value) => (value === "" ? [] : [[section, key, value]]),
  ...(note === undefined ? {} : { note }),
});
const taken = (set: (value: unknown) => readonly Target[] | undefined, note?: string): Rule => ({
  kind: "taken",
  set,
  ...(note === undefined ? {} : { note }),
});
const settled = (why: string): Rule => ({ kind: "settled", why });
const none = (why: string): Rule => ({ kind: "none", why });
const all = (keys: readonly string[], rule: Rule): Record<string, Rule> =>
  Object.fromEntries(keys.map((key) => [key, rule]));

const HYPERVISOR: Readonly<Record<string, Rule>> = {
  path: taken((value) => [["hypervisor", "argv", [value]]], "it has to be QEMU 11.1 or newer for DAX"),
  kernel: to("hypervisor", "kernel", "it needs virtio-fs and FUSE DAX built in"),
  kernel_params: to("hypervisor", "kernelParameters"),
  firmware: to("hypervisor", "firmware"),
  default_vcpus: taken((value) =>
    typeof value === "number" && value > 0 ? [["hypervisor", "cpus", Math.ceil(value)]] : [],
  ),
  default_memory: taken((value) => (value === 0 ? [] : [["hypervisor", "memoryMiB", value]])),
  virtio_fs_cache_size: taken(
    (value) =>
      typeof value === "number" && value > 0
        ? [["daemon", "daxWindowMiB", Math.min(2 ** Math.floor(Math.log2(value)), DAX_WINDOW_MAX_MIB)]]
        : [],
    `rounded down to a power of two, at most ${DAX_WINDOW_MAX_MIB}; without it DAX is on with 256 MiB`,
  ),
  enable_annotations: taken((value) =>
    Array.isArray(value) ? [["annotations", "enable", value.map((name) => `hypervisor\\.(?:${name})`)]] : [],
  ),
  valid_hypervisor_paths: to("annotations", "hypervisorPaths"),
  shared_fs: taken(
    (value) => (value === "virtio-fs" ? [] : undefined),
    "kata-fs shares files by virtio-fs only",
  ),
  ...all(["seccompsandbox", "seccomp_sandbox"], settled("QEMU always runs in its seccomp sandbox")),
  ...all(["overhead_vcpus", "overhead_memory"], none("a sandbox has the size that section hypervisor says")),
  disable_selinux: settled("no SELinux label is set on QEMU"),
  disable_guest_selinux: settled("no SELinux label is passed to the guest"),
  msize_9p: settled("there is no 9p"),
  rootless: settled("QEMU runs as a user of its own"),
  ...all(["machine_type"], settled("always q35")),
  ...all(
    ["virtio_fs_daemon", "valid_virtio_fs_daemon_paths", "virtio_fs_extra_args", "virtio_fs_queue_size"],
    none("files are served by kata-fsd, which the shim starts with options of its own: section daemon"),
  ),
  ...all(
    ["virtio_fs_cache", "virtio_fs_inode_file_handles"],
    settled("kata-fsd decides for each export what the guest may keep: docs/caching.md"),
  ),
  image: to("guest", "image"),
  initrd: to("guest", "initrd"),
  rootfs_type: to("guest", "imageFileSystem"),
  vm_rootfs_driver: taken((value) => [
    ["guest", "imageDevice", value === "virtio-pmem" ? "pmem" : "virtio-blk"],
  ]),
  disable_image_nvdimm: taken((value) => [["guest", "imageDevice", value === true ? "virtio-blk" : "pmem"]]),
  ...all(["guest_hook_path"], none("hooks are not run in the guest")),
  ...all(
    [
      "block_device_driver",
      "block_device_aio",
      "block_device_cache_set",
      "block_device_cache_direct",
      "block_device_cache_noflush",
      "block_device_num_queues",
      "block_device_queue_size",
      "blk_logical_sector_size",
      "blk_physical_sector_size",
      "block_device_logical_sector_size",
      "block_device_physical_sector_size",
      "enable_iothreads",
      "indep_iothreads",
      "disable_block_device_use",
    ],
    settled("there are no block devices: root file systems and volumes are shared"),
  ),
  default_maxvcpus: taken((value) =>
    typeof value === "number" && value > 0 ? [["hypervisor", "maxCpus", value]] : [],
  ),
  default_maxmemory: to("hypervisor", "maxMemoryMiB"),
  ...all(
    ["memory_slots", "memory_offset", "enable_virtio_mem", "default_bridges", "reclaim_guest_freed_memory"],
    none("memory is plugged in as modules, and never taken back"),
  ),
  ...all(
    [
      "enable_mem_prealloc",
      "enable_hugepages",
      "file_mem_backend",
      "valid_file_mem_backends",
      "enable_numa",
      "numa_mapping",
    ],
    none("the guest's memory is a memfd, given page by page"),
  ),
  ...all(
    [
      "hot_plug_vfio",
      "cold_plug_vfio",
      "hotplug_vfio_on_root_bus",
      "pcie_root_port",
      "pcie_switch_port",
      "enable_iommu",
      "enable_iommu_platform",
      "enable_vhost_user_store",
      "vhost_user_store_path",
      "valid_vhost_user_store_paths",
      "vhost_user_reconnect_timeout_sec",
      "pod_resource_api_sock",
    ],
    none("there is no device passthrough"),
  ),
  ...all(
    [
      "disable_vhost_net",
      "queue_size",
      "num_queues",
      "rx_rate_limiter_max_rate",
      "tx_rate_limiter_max_rate",
      "network_queues",
    ],
    none("network cards have one queue, vhost-net where the host has it, and the limits that CNI sets"),
  ),
  ...all(
    [
      "confidential_guest",
      "sev_snp_guest",
      "tdx_quote_generation_service_socket_port",
      "snp_id_block",
      "snp_id_auth",
      "snp_guest_policy",
      "measurement_algo",
      "kernel_verity_params",
    ],
    none("confidential guests cannot share files by virtio-fs"),
  ),
  ...all(
    ["enable_guest_swap", "guest_swap_path", "guest_swap_size_percent", "guest_swap_create_threshold_secs"],
    none("the guest has no swap"),
  ),
  ...all(["guest_memory_dump_path", "guest_memory_dump_paging"], none("a guest's memory is not dumped")),
  ...all(
    ["entropy_source", "valid_entropy_sources"],
    settled("the guest takes its entropy from the processor"),
  ),
  ...all(
    [
      "machine_accelerators",
      "cpu_features",
      "firmware_volume",
      "pflashes",
      "extra_monitor_socket",
      "use_legacy_serial",
      "disable_nesting_checks",
    ],
    none("the machine that QEMU emulates is fixed"),
  ),
  enable_debug: taken(
    (value) => (value === true ? [["runtime", "logLevel", "debug"]] : []),
    "QEMU's events and the guest's console are in the shim's log at that level",
  ),
};

const AGENT: Readonly<Record<string, Rule>> = {
  enable_debug: taken((value) => (value === true ? [["guest", "agentLogLevel", "debug"]] : [])),
  dial_timeout: to("timeLimits", "bootSeconds"),
  dial_timeout_ms: taken(
    (value) => (typeof value === "number" ? [["timeLimits", "bootSeconds", Math.max(1, value / 1000)]] : []),
    "as reconnect_timeout_ms if that is larger",
  ),
  reconnect_timeout_ms: none("the agent is asked until timeLimits.bootSeconds"),
  kernel_modules: none("the guest loads the modules that its own devices need"),
  create_container_timeout: to("timeLimits", "agentCallSeconds"),
  debug_console_enabled: taken((value) => (value === false ? [["guest", "debugConsole", "off"]] : [])),
  ...all(["enable_tracing"], none("there are no traces")),
  ...all(
    [
      "cdh_api_timeout",
      "cdh_api_timeout_ms",
      "mem_agent_enable",
      "launch_process_timeout",
      "server_port",
      "log_port",
      "container_pipe_size",
    ],
    none("it is for the guest: hypervisor.kernelParameters takes agent.* parameters"),
  ),
};

const MEMORY_AGENT: Readonly<Record<string, Rule>> = all(
  [
    "mem_agent_enable",
    "memcg_disable",
    "memcg_swap",
    "memcg_swappiness_max",
    "memcg_period_secs",
    "memcg_period_psi_percent_limit",
    "memcg_eviction_psi_percent_limit",
    "memcg_eviction_run_aging_count_min",
    "compact_disable",
    "compact_period_secs",
    "compact_period_psi_percent_limit",
    "compact_psi_percent_limit",
    "compact_sec_max",
    "compact_order",
    "compact_threshold",
    "compact_force_times",
  ],
  none("it is for the guest: hypervisor.kernelParameters takes agent.mem_agent_* parameters"),
);

const RUNTIME: Readonly<Record<string, Rule>> = {
  name: settled("the name of a runtime is containerd's business"),
  hypervisor_name: settled("always QEMU"),
  agent_name: settled("always Kata's protocol"),
  enable_debug: taken((value) => (value === true ? [["runtime", "logLevel", "debug"]] : [])),
  ...all(
    ["internetworking_model", "disable_new_netns", "dan_conf"],
    none("always tcfilter, in the sandbox's own network namespace"),
  ),
  ...all(["use_passfd_io", "passfd_listener_port"], none("stdio always goes by the agent's protocol")),
  ...all(
    ["disable_guest_seccomp", "guest_selinux_label"],
    none("seccomp profiles are always applied in the guest, SELinux labels never"),
  ),
  ...all(["vfio_mode"], none("there is no device passthrough")),
  ...all(
    ["enable_vcpus_pinning", "overhead_vcpus", "overhead_memory"],
    none("what a VM has of its own is hypervisor.cpus and memoryMiB; processors are not pinned"),
  ),
  static_sandbox_resource_mgmt: taken((value) => [["hypervisor", "hotPlug", value !== true]]),
  sandbox_cgroup_only: to("runtime", "sandboxCgroupOnly"),
  ...all(
    ["sandbox_bind_mounts"],
    none("the guest sees its own root and the containers' files, nothing else"),
  ),
  ...all(
    ["disable_guest_empty_dir", "emptydir_mode", "kubelet_root_dir", "shared_mounts"],
    none("volumes are shared"),
  ),
  ...all(
    ["enable_tracing", "jaeger_endpoint", "jaeger_user", "jaeger_password", "enable_pprof"],
    none("there are no traces"),
  ),
  ...all(
    ["experimental", "experimental_force_guest_pull", "keep_abnormal"],
    none("it is an experiment of Kata's runtimes"),
  ),
  log_level: taken((value) => [["runtime", "logLevel", value === "trace" ? "debug" : value]]),
  create_container_timeout: to("timeLimits", "agentCallSeconds"),
};

const FACTORY: Readonly<Record<string, Rule>> = all(
  ["enable_template", "template_path", "vm_cache_number", "vm_cache_endpoint"],
  none("virtual machines are not cloned"),
);

/** The rules for a table of configuration.toml, by its name; undefined for a table that neither runtime has. */
export function rulesFor(table: string): Readonly<Record<string, Rule>> | undefined {
  if (table === "hypervisor.qemu") return HYPERVISOR;
  if (table === "hypervisor.qemu.factory" || table === "factory") return FACTORY;
  if (table === "agent.kata") return AGENT;
  if (table === "agent.kata.mem_agent") return MEMORY_AGENT;
  if (table === "runtime") return RUNTIME;
  return undefined;
}
