import { join, resolve } from "node:path";

/** Where everything that set-up makes lives: one directory, which the user may delete at any time. */
export interface PrivateDirectory {
  readonly path: string;
  /** Lists and downloads of apt, removed at the end of set-up. */
  readonly apt: string;
  readonly qemu: string;
  /** Kernel and guest OS directory. */
  readonly guest: string;
  readonly runc: string;
  readonly shmemPreload: string;
  /** Parent of what only tests use. */
  readonly testing: string;
  /** Facts for programs: see {@link Toolchain}. */
  readonly toolchainFile: string;
  /** The shim's configuration. */
  readonly configFile: string;
  /** Directory of one containerd series, such as "1.7". */
  containerd(series: string): string;
}

/** `$KATA_FS_DIR`, /opt/kata-fs by default. */
export function privateDirectory(env: NodeJS.ProcessEnv = process.env): PrivateDirectory {
  const { KATA_FS_DIR = "/opt/kata-fs" } = env;
  const path = resolve(KATA_FS_DIR);
  return {
    path,
    apt: join(path, ".apt"),
    qemu: join(path, "qemu"),
    guest: join(path, "guest"),
    runc: join(path, "runc"),
    shmemPreload: join(path, "shmem-preload"),
    testing: join(path, "testing"),
    toolchainFile: join(path, "toolchain.json"),
    configFile: join(path, "config.yaml"),
    containerd: (series) => join(path, "containerd", series),
  };
}
