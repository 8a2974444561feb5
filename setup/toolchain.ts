import { randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";

/** The programs and files that a sandbox is made with; toolchain.json in the private directory holds it for other programs. */
export interface Toolchain {
  readonly qemu: {
    /** Command line that starts QEMU; the options of a VM follow it. */
    readonly argv: readonly string[];
    /** Set in QEMU's environment in addition. */
    readonly env: Readonly<Record<string, string>>;
    readonly version: string;
  };
  /** Bootable kernel image. */
  readonly kernel: string;
  /** The guest OS directory. */
  readonly guestRoot: string;
  /** The library for read-only maps, which {@link qemu} preloads; undefined with DAX off. */
  readonly shmemPreload: string | undefined;
  /** File name for QEMU's `-bios`. */
  readonly firmware: string;
  readonly runc: string;
  /** By series: "machine" for the one that was on the machine already. */
  readonly containerd: Readonly<
    Record<string, { readonly daemon: string; readonly ctr: string; readonly version: string }>
  >;
  /** What only tests use; undefined until set-up has run for them. */
  readonly testing: TestTools | undefined;
}

/** Programs and kernels that kata-fsd is tested with besides those that sandboxes are made with. */
export interface TestTools {
  /** By series, such as "7.2". */
  readonly qemu: Readonly<Record<string, Toolchain["qemu"]>>;
  /** Bootable kernel images by series, such as "7.3". */
  readonly kernel: Readonly<Record<string, string>>;
  /** By the same series: what a guest OS directory needs of the kernel's modules, to be laid over one. */
  readonly kernelModules: Readonly<Record<string, string>>;
  /** Debian's virtiofsd, the control. */
  readonly virtiofsd: { readonly argv: readonly string[]; readonly version: string };
  /** Folder of CNI's plugins, as bin_dir of containerd's configuration wants it. */
  readonly cniPlugins: string;
  /** Executables of Node.js by major, such as "24". */
  readonly node: Readonly<Record<string, string>>;
}

/** Replaces `file` in one step; leaves it untouched when it says the same already. */
export async function writeIfChanged(file: string, contents: string): Promise<void> {
  const present = await readFile(file, "utf8").catch(() => undefined);
  if (present === contents) return;
  const temporary = `${file}.${randomBytes(4).toString("hex")}`;
  await writeFile(temporary, contents);
  await rename(temporary, file);
}
