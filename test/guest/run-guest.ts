import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Toolchain } from "../../setup/toolchain.js";
import { chooseAccelerator } from "../../shim/vm/accelerator.js";
import { type ArchiveEntry, initramfs } from "./cpio.js";

export interface GuestOptions {
  readonly qemu: Pick<Toolchain["qemu"], "argv" | "env">;
  /** Bootable kernel. */
  readonly kernel: string;
  /** A tree with busybox and its links in usr/bin: the guest OS directory that set-up made. */
  readonly tools: string;
  /** What the guest runs, by busybox's shell, as root, with /proc, /sys, /dev and /tmp mounted. */
  readonly script: string;
  /** QEMU's arguments for devices. Guest memory is shared with vhost-user back ends already. */
  readonly devices?: readonly string[];
  /** Further files of the guest: by path in the guest, paths on the host. */
  readonly files?: Readonly<Record<string, string>>;
  readonly kernelParameters?: readonly string[];
  /** QEMU's name of the processor. */
  readonly cpu?: string;
  readonly cpus?: number;
  readonly memoryMiB?: number;
  readonly timeLimitMs?: number;
}

export interface GuestOutcome {
  /** Exit status of the script; undefined when the guest did not get to its end: see {@link GuestOutcome.console}. */
  readonly status: number | undefined;
  /** What the script printed. */
  readonly output: string;
  /** What the kernel and QEMU said. */
  readonly console: string;
}

const TIME_LIMIT_MS = 120_000;
const MEMORY_MIB = 512;

/** The script's output has a serial port of its own, so that the kernel's lines are not in it. */
const OUTPUT = "/dev/ttyS1";
const STATUS = "@@ exit status ";

/**
 * Boots a virtual machine that consists of a kernel and busybox, runs a script in it, and waits until it is off. No agent, no disk:
 * everything is in an initramfs. Under KVM where the caller may use it, else emulated.
 */
export async function runGuest(options: GuestOptions): Promise<GuestOutcome> {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-guest-"));
  try {
    const initrd = join(directory, "initramfs");
    await writeFile(initrd, initramfs(await archive(options)));
    const consoleFile = join(directory, "console");
    const { stdout, stderr } = await runQemu(options, initrd, consoleFile);
    const console = `${await readFile(consoleFile, "utf8").catch(() => "")}${stderr}`;
    const text = stdout.replaceAll("\r\n", "\n");
    const at = text.lastIndexOf(STATUS);
    if (at < 0) return { status: undefined, output: text, console };
    return {
      status: Number.parseInt(text.slice(at + STATUS.length), 10),
      output: text.slice(0, at),
      console,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function archive({ tools, script, files = {} }: GuestOptions): Promise<Map<string, ArchiveEntry>> {
  const programs = join(tools, "usr/bin");
  const entries = new Map<string, ArchiveEntry>();
  const addFile = async (path: string, source: string) =>
    entries.set(path.replace(/^\//, ""), { content: await readFile(source), isExecutable: true });
  await addFile("bin/busybox", join(programs, "busybox"));
  for (const link of await readdir(programs, { withFileTypes: true })) {
    const target = link.isSymbolicLink() ? await readlink(join(programs, link.name)) : "";
    if (target === "busybox") entries.set(`bin/${link.name}`, { linkTo: target });
  }
  for (const [path, source] of Object.entries(files)) await addFile(path, source);
  entries.set("init", { content: Buffer.from(INIT), isExecutable: true });
  entries.set("script", { content: Buffer.from(script), isExecutable: true });
  return entries;
}

const INIT = `#!/bin/sh
export PATH=/bin HOME=/
mkdir -p /proc /sys /dev /tmp /mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
stty -F ${OUTPUT} raw
sh /script <&- >${OUTPUT} 2>&1
echo "${STATUS}$?" >${OUTPUT}
sync
poweroff -f
`;

async function runQemu(
  options: GuestOptions,
  initrd: string,
  consoleFile: string,
): Promise<{ stdout: string; stderr: string }> {
  const { cpu = "max", cpus = 1, memoryMiB = MEMORY_MIB, timeLimitMs = TIME_LIMIT_MS } = options;
  const parameters = [
    ...["console=ttyS0", "panic=-1", "reboot=k", "quiet", "rdinit=/init", "tsc=reliable", "no_timer_check"],
    ...["cryptomgr.notests", "rcupdate.rcu_expedited=1", "random.trust_cpu=on"],
    ...(options.kernelParameters ?? []),
  ];
  const accelerator = chooseAccelerator("auto");
  const [file = "", ...first] = options.qemu.argv;
  const child = spawn(
    file,
    [
      ...first,
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-machine", `q35,accel=${accelerator},memory-backend=ram`, "-cpu", cpu, "-smp", `${cpus}`],
      ...["-m", `${memoryMiB}M`, "-object", `memory-backend-memfd,id=ram,size=${memoryMiB}M,share=on`],
      ...["-kernel", options.kernel, "-initrd", initrd, "-append", parameters.join(" ")],
      ...["-serial", `file:${consoleFile}`, "-serial", "stdio"],
      ...(options.devices ?? []),
    ],
    { env: { ...process.env, ...options.qemu.env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const limit = setTimeout(() => child.kill("SIGKILL"), timeLimitMs);
  try {
    const ended = new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", () => resolve());
    });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { stdout, stderr };
  } finally {
    clearTimeout(limit);
  }
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
