import type { Configuration } from "./configuration.js";

/** What the commented file says of a section and its keys. Types, units and defaults are not written here: they come from the fields. */
export type Explanations = {
  readonly [S in keyof Configuration]: {
    readonly section: string;
    readonly keys: { readonly [K in keyof Configuration[S]]: string };
  };
};

export const EXPLANATIONS: Explanations = {
  hypervisor: {
    section: "The virtual machine.",
    keys: {
      argv: "QEMU 11.1 or newer: a command, or a list of a command and its first arguments.",
      env: "Variables added to QEMU's environment. Drop-ins add to them, name by name.",
      kernel:
        "The guest's kernel, a boot image or an ELF file with a PVH entry. It needs virtio-fs and FUSE DAX built in, as Debian's cloud kernels have them.",
      kernelParameters: "Appended to the kernel's command line.",
      firmware:
        'File name for QEMU\'s -bios. qboot starts a kernel a quarter of a second sooner than SeaBIOS; "" leaves it to QEMU.',
      accelerator: "auto: KVM where it works, TCG (emulation) otherwise. kvm and tcg insist.",
      firstUserId:
        "QEMU runs as a user without rights, another one for each sandbox: ids from this one on, which should belong to nobody else.",
      userIdCount: "How many user ids there are, and so sandboxes at a time. With 0, QEMU is run by root.",
      cpus: "Virtual processors of a sandbox. Those that its containers are limited to come on top.",
      maxCpus: "The most that a sandbox can have. 0: as many as the host has.",
      memoryMiB:
        "Memory of a sandbox, which the host gives page by page as the guest touches it. What its containers are limited to comes on top.",
      maxMemoryMiB: "The most that a sandbox can have. 0: as much as the host has.",
      hotPlug:
        "Whether a sandbox gets more processors and memory when containers come or are allowed more. off: it keeps the size that its pod's sums, or its only container's limits, gave it at the start, and containers with block devices of the host are refused.",
    },
  },
  guest: {
    section: "What runs in the virtual machine besides the containers.",
    keys: {
      root: "The directory that is every guest's root file system, shared read-only. Not used with an image or an initrd.",
      image:
        "A disk image to boot from in place of the directory, such as Kata's: docs/kata-guests.md. hypervisor.kernel must have built in what it needs to mount it.",
      imageDevice: "How the guest gets the image. pmem: as memory that it maps, one copy for all guests.",
      imagePartition:
        "The partition with the root file system. 0: the image is one file system, without partitions.",
      imageFileSystem: "The root file system's type.",
      initrd:
        "An initial ramdisk to boot from in place of the directory. With an image too, its init has to mount that.",
      agentLogLevel:
        "What the agent says; from there runtime.logLevel decides what the shim's log has of it, along with the rest of the guest's console.",
      debugConsole:
        "Whether `kata-fs exec` gets a shell of the guest itself, as root, from the agent's debug console at vsock port 1026. Only root of the host can reach it.",
    },
  },
  daemon: {
    section: "kata-fsd, which shares files with the guest: one process for each sandbox.",
    keys: {
      path: "The program. Without the key: the one beside the shim.",
      dax: "on: files of image layers are mapped from the host's page cache into the guest. off: virtio-fs without DAX, which any QEMU from 7.2 on can do.",
      daxWindowMiB:
        "Address space for mapped files of containers: 2 MiB a range. More than 256 makes mapping slow (QEMU's cost for one grows with their number).",
      guestDaxWindowMiB: "The same for the guest's own programs.",
      daxThresholdKiB: "Files below this size are read through the guest's page cache instead.",
      writeback:
        "on: the guest gathers what its containers write to their own root file systems until a file is closed or synced, or a container paused (docs/caching.md). off: each write goes to the host at once.",
    },
  },
  runtime: {
    section: "The shim.",
    keys: {
      reportDirectory:
        "When set, a sandbox leaves <directory>/<sandbox id>.json at its end: how long each phase took, the daemon's counters.",
      sandboxCgroupOnly:
        "on: the shim, QEMU and kata-fsd are all in the sandbox's control group, which needs a RuntimeClass with an overhead that suffices for them. off: what runs the guest is, the rest in /kata_overhead.",
      logLevel: "The shim logs into containerd's log, with the agent's lines at their own levels.",
      logFormat: "logfmt: as containerd's own lines are. json: an object a line.",
    },
  },
  annotations: {
    section:
      "Annotations io.katacontainers.config.* by which a pod changes its own configuration. One that is neither enabled nor ignored fails the pod.",
    keys: {
      enable:
        "Regular expressions for names without io.katacontainers.config., each for a whole name: hypervisor\\.default_(vcpus|memory). docs/configuration.md lists the names. Whoever may create pods may use them.",
      ignore: "The same for annotations that are accepted and have no effect.",
      hypervisorPaths:
        "Paths that hypervisor.path may have, as globs: /opt/qemu-*/bin/qemu-system-x86_64. None, by default.",
      kernelPaths: "Paths that hypervisor.kernel may have.",
      firmwarePaths: "Paths that hypervisor.firmware may have.",
      daemonPaths: "Paths that hypervisor.virtio_fs_daemon may have.",
    },
  },
  timeLimits: {
    section: "How long things may take before they count as failed.",
    keys: {
      bootSeconds: "From power-on until the agent in the guest answers.",
      qemuProbeSeconds: "Until a QEMU that has not been used before has said what it can do.",
      qemuEndSeconds: "Until QEMU has ended once kata-fsd has: its own last words tell more.",
      daemonStartSeconds: "Until kata-fsd listens.",
      daemonAnswerSeconds: "Until kata-fsd has answered with its counters, for the report of a sandbox.",
      agentCallSeconds:
        "For each call of the agent, such as the creation of a container; not for those that wait for a process or its output.",
      agentCheckSeconds: "For the agent's first answer, once a connection to it is there.",
      guestSilenceSeconds:
        "How long the guest may be silent before it counts as hung, and its sandbox ends with an error. It is asked four times within that; 0 asks never.",
      agentEndSeconds:
        "For the agent to end its containers when the sandbox ends; the virtual machine is killed then.",
      deleteSeconds:
        "For the clean-up of a sandbox whose shim is gone. containerd waits 5 s for the answer. Counts in the configuration file; a pod's annotations and containerd's ConfigPath are not known then.",
      cgroupEmptySeconds:
        "Until the control groups of a sandbox are without processes, once those have been killed: then they can be removed.",
      unusedSeconds:
        "How long a shim without a task stays, such as one whose containerd ended while it was started; twice as long while containerd is connected.",
      lossSeconds: "Between the loss of the agent and the knowledge why, which the error tells.",
      outputIdleSeconds:
        "How long the output of a process that has ended may stand still before its exit is reported. The agent itself ends it half a second after the exit; emulation on a busy host is slower.",
      unreadOutputSeconds:
        "How long output that nobody reads may keep the end of its process, and of the virtual machine, from being seen.",
      eventSeconds: "For containerd to take an event; it is sent again after that.",
      loggerStartSeconds: "Until the program of a binary:// log URI says that it takes output.",
      loggerEndSeconds:
        "For such a program to end by itself when its process has; it gets SIGTERM half way, and SIGKILL in the end.",
      shutdownSeconds:
        "For the last events and connections when the shim ends. containerd gives it 3 seconds in all.",
    },
  },
};
