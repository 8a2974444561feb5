import {
  commandLine,
  type Field,
  oneOf,
  onOrOff,
  optionalPath,
  path,
  powerOfTwo,
  seconds,
  text,
  textByName,
  textList,
  wholeNumber,
} from "./field.js";

/** How sandboxes are made. explanations.ts says what each key means to whoever writes one. */
export interface Configuration {
  readonly hypervisor: HypervisorConfiguration;
  readonly guest: GuestConfiguration;
  readonly daemon: DaemonConfiguration;
  readonly runtime: RuntimeConfiguration;
  readonly annotations: AnnotationsConfiguration;
  readonly timeLimits: TimeLimits;
}

export interface HypervisorConfiguration {
  /** QEMU: a command and its first arguments; the description of the VM is appended. */
  readonly argv: readonly string[];
  /** Added to QEMU's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Bootable kernel image. */
  readonly kernel: string;
  /** Appended to the kernel's command line. */
  readonly kernelParameters: string;
  /** For QEMU's -bios; empty for QEMU's own choice. */
  readonly firmware: string;
  /** auto: KVM where it works, TCG otherwise. */
  readonly accelerator: "auto" | "kvm" | "tcg";
  /** The first of the user ids for QEMU, of which each sandbox has one. */
  readonly firstUserId: number;
  /** How many there are; 0: QEMU is run by root. */
  readonly userIdCount: number;
  readonly cpus: number;
  /** 0: as many as the host has. */
  readonly maxCpus: number;
  readonly memoryMiB: number;
  /** 0: as much as the host has. */
  readonly maxMemoryMiB: number;
  /** False: a VM keeps the size that it was started with. */
  readonly hotPlug: boolean;
}

export interface GuestConfiguration {
  /** The directory that is the guest's root file system, unless it has an image or an initrd. */
  readonly root: string;
  readonly image: string | undefined;
  readonly imageDevice: "virtio-blk" | "pmem";
  /** Of the image, from 1; 0: the image is a file system and has no partitions. */
  readonly imagePartition: number;
  readonly imageFileSystem: "ext4" | "xfs" | "erofs";
  readonly initrd: string | undefined;
  readonly agentLogLevel: "info" | "trace" | "debug" | "warn" | "error";
  /** Whether the agent offers a shell of the guest to the host. */
  readonly debugConsole: boolean;
}

export interface DaemonConfiguration {
  /** kata-fsd; empty for the one beside the shim. */
  readonly path: string | undefined;
  /** False: virtio-fs without DAX, which any QEMU can do. */
  readonly dax: boolean;
  /** DAX window of the device with the containers' files. */
  readonly daxWindowMiB: number;
  /** DAX window of the device with the guest's root. */
  readonly guestDaxWindowMiB: number;
  /** Files of read-only layers from this size on are mapped; smaller ones go through the guest's page cache. */
  readonly daxThresholdKiB: number;
  /** Guests gather writes to what is their sandbox's alone. */
  readonly writeback: boolean;
}

export interface RuntimeConfiguration {
  /** Where a report is written when a sandbox ends; undefined for none. */
  readonly reportDirectory: string | undefined;
  /** True: the shim, QEMU and kata-fsd are all in the sandbox's control group. False: what runs the guest is. */
  readonly sandboxCgroupOnly: boolean;
  readonly logLevel: "info" | "debug" | "warn" | "error";
  readonly logFormat: "logfmt" | "json";
}

/** Which of Kata's annotations may change the configuration of their pod. */
export interface AnnotationsConfiguration {
  /** Regular expressions for names without `io.katacontainers.config.`, each for a whole name. */
  readonly enable: readonly string[];
  /** As {@link enable}, for annotations that are accepted without effect. */
  readonly ignore: readonly string[];
  /** Globs of paths that annotations may name, one list for each key that is a path. */
  readonly hypervisorPaths: readonly string[];
  readonly kernelPaths: readonly string[];
  readonly firmwarePaths: readonly string[];
  readonly daemonPaths: readonly string[];
}

/** How long things may take before they count as failed. */
export interface TimeLimits {
  /** From the start of QEMU until the agent answers. */
  readonly bootSeconds: number;
  /** Until an unknown QEMU has said what it can do. */
  readonly qemuProbeSeconds: number;
  /** Until QEMU has ended whose connections are gone. */
  readonly qemuEndSeconds: number;
  /** Until kata-fsd listens. */
  readonly daemonStartSeconds: number;
  /** Until kata-fsd has said its counters. */
  readonly daemonAnswerSeconds: number;
  /** For a call of the agent, but for those that wait for a process or its output. */
  readonly agentCallSeconds: number;
  /** For the agent's first answer, once it has been connected to. */
  readonly agentCheckSeconds: number;
  /** How long a guest that runs may leave the agent's Check unanswered; 0 asks never. */
  readonly guestSilenceSeconds: number;
  /** For the agent's farewell. */
  readonly agentEndSeconds: number;
  /** For containerd's `delete` of a sandbox whose shim is gone. containerd itself gives it 5 s. */
  readonly deleteSeconds: number;
  /** For control groups to be without processes once those have been killed. */
  readonly cgroupEmptySeconds: number;
  /** How long a shim stays that has no task and no connection. */
  readonly unusedSeconds: number;
  /** Between the loss of the agent and the knowledge why. */
  readonly lossSeconds: number;
  /** How long the output of a process that has ended may stand still. */
  readonly outputIdleSeconds: number;
  /** How long output that nobody reads keeps the end of its process, and of the VM, from being seen. */
  readonly unreadOutputSeconds: number;
  /** For containerd to take an event. */
  readonly eventSeconds: number;
  /** Until a logging binary takes output. */
  readonly loggerStartSeconds: number;
  /** Until a logging binary has ended, once it has been given everything. */
  readonly loggerEndSeconds: number;
  /** For the last events and connections at the shim's end. */
  readonly shutdownSeconds: number;
}

/** A field for each key. */
export type Section<T> = { readonly [K in keyof T]: Field<T[K]> };

/** Every key there is, with its default. */
export const CONFIGURATION_FIELDS: { readonly [S in keyof Configuration]: Section<Configuration[S]> } = {
  hypervisor: {
    argv: commandLine(["qemu-system-x86_64"]),
    env: textByName(),
    kernel: path("/opt/kata-fs/guest/kernel"),
    kernelParameters: text(""),
    firmware: text("qboot.rom"),
    accelerator: oneOf("auto", ["kvm", "tcg"]),
    // Neither users' ranges of shadow-utils nor those of systemd ("UIDs and GIDs" of its documentation) reach there.
    firstUserId: wholeNumber(1_900_000_000, { from: 1, to: 2 ** 31 - 1 }),
    userIdCount: wholeNumber(65_536, { from: 0, to: 1 << 20 }),
    cpus: wholeNumber(1, { from: 1, to: 255 }),
    maxCpus: wholeNumber(0, { from: 0, to: 255 }),
    memoryMiB: wholeNumber(1024, { from: 128, to: 1 << 20, unit: "MiB" }),
    maxMemoryMiB: wholeNumber(0, { from: 0, to: 1 << 24, unit: "MiB" }),
    hotPlug: onOrOff(true),
  },
  guest: {
    root: path("/opt/kata-fs/guest/root"),
    image: optionalPath("/opt/kata/share/kata-containers/kata-containers.img"),
    imageDevice: oneOf("virtio-blk", ["pmem"]),
    imagePartition: wholeNumber(1, { from: 0, to: 128 }),
    imageFileSystem: oneOf("ext4", ["xfs", "erofs"]),
    initrd: optionalPath("/opt/kata/share/kata-containers/kata-containers-initrd.img"),
    agentLogLevel: oneOf("info", ["trace", "debug", "warn", "error"]),
    debugConsole: onOrOff(true),
  },
  daemon: {
    path: optionalPath("/usr/local/bin/kata-fsd"),
    dax: onOrOff(true),
    daxWindowMiB: powerOfTwo(256, { from: 2, to: 512, unit: "MiB" }),
    guestDaxWindowMiB: powerOfTwo(256, { from: 2, to: 256, unit: "MiB" }),
    daxThresholdKiB: wholeNumber(128, { from: 0, to: 1 << 20, unit: "KiB" }),
    writeback: onOrOff(true),
  },
  runtime: {
    reportDirectory: optionalPath("/var/log/kata-fs"),
    sandboxCgroupOnly: onOrOff(false),
    logLevel: oneOf("info", ["debug", "warn", "error"]),
    logFormat: oneOf("logfmt", ["json"]),
  },
  annotations: {
    enable: annotationNames(["hypervisor\\.kernel_params"]),
    ignore: annotationNames([]),
    hypervisorPaths: pathPatterns(),
    kernelPaths: pathPatterns(),
    firmwarePaths: pathPatterns(),
    daemonPaths: pathPatterns(),
  },
  timeLimits: {
    bootSeconds: seconds(120, { from: 1, to: 3600 }),
    qemuProbeSeconds: seconds(20, { from: 1, to: 600 }),
    qemuEndSeconds: seconds(2, { from: 0.1, to: 60 }),
    daemonStartSeconds: seconds(10, { from: 0.1, to: 600 }),
    daemonAnswerSeconds: seconds(1, { from: 0.1, to: 60 }),
    agentCallSeconds: seconds(60, { from: 1, to: 3600 }),
    agentCheckSeconds: seconds(10, { from: 1, to: 600 }),
    guestSilenceSeconds: seconds(120, { from: 0, to: 86_400 }),
    agentEndSeconds: seconds(3, { from: 0.1, to: 60 }),
    deleteSeconds: seconds(2, { from: 0.5, to: 4.5 }),
    cgroupEmptySeconds: seconds(2, { from: 0.1, to: 60 }),
    unusedSeconds: seconds(60, { from: 1, to: 3600 }),
    lossSeconds: seconds(1, { from: 0.1, to: 60 }),
    outputIdleSeconds: seconds(3, { from: 0.5, to: 600 }),
    unreadOutputSeconds: seconds(60, { from: 0.5, to: 86_400 }),
    eventSeconds: seconds(5, { from: 0.1, to: 600 }),
    loggerStartSeconds: seconds(10, { from: 0.1, to: 600 }),
    loggerEndSeconds: seconds(12, { from: 0.1, to: 600 }),
    shutdownSeconds: seconds(1, { from: 0, to: 3 }),
  },
};

function annotationNames(fallback: readonly string[]): Field<readonly string[]> {
  return textList(fallback, "a list of regular expressions", (text) => {
    try {
      return new RegExp(text, "u") instanceof RegExp;
    } catch {
      // A SyntaxError is the answer.
      return false;
    }
  });
}

function pathPatterns(): Field<readonly string[]> {
  return textList([], "a list of globs of absolute paths", (text) => text.startsWith("/"));
}
