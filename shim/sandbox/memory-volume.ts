import { statfsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { agent } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import { GuestPaths } from "./layout.js";
import { TMPFS_MAGIC, tmpfsBytes } from "./oci/shared-memory.js";

/** magic number of hugetlbfs in statfs(2). */
const HUGETLBFS_MAGIC = 0x958458f6;

/** Where a kubelet keeps a pod's volumes of type emptyDir, and where parts of volumes of any type. */
const EMPTY_DIRECTORY = /\/kubernetes\.io~empty-dir\/[^/]+$/;
const SUB_PATH = /\/volume-subpaths\/([^/]+)\//;

/**
 * The storage for an `emptyDir` with `medium: Memory`, which is memory of the guest instead of the host's: as large as the one that the kubelet
 * has made, with its owner and mode. All containers of the pod name the same mount point and so share it.
 *
 * @param source of a mount
 * @returns undefined for anything else
 * @throws ShimError INVALID_ARGUMENT for what cannot be in the guest's memory: huge pages, a part of a volume
 */
export function memoryVolume(source: string): agent.Storage.$Properties | undefined {
  const volume = SUB_PATH.exec(source)?.[1];
  if (volume !== undefined && fileSystemOf(source) === TMPFS_MAGIC) {
    throw unsupported(`subPath of volume ${volume}, which is in memory`);
  }
  if (!EMPTY_DIRECTORY.test(source)) return undefined;
  const type = fileSystemOf(source);
  if (type === HUGETLBFS_MAGIC) throw unsupported(`emptyDir ${basename(source)} with medium: HugePages`);
  const sizeBytes = tmpfsBytes(source);
  if (type !== TMPFS_MAGIC || sizeBytes === undefined) return undefined;
  const { mode, gid } = statSync(source);
  return {
    driver: "ephemeral",
    source: "tmpfs",
    fstype: "tmpfs",
    mount_point: join(GuestPaths.memoryVolumes, basename(source)),
    options: [
      `size=${sizeBytes}`,
      `mode=${(mode & 0o7777).toString(8)}`,
      // The pod's fsGroup.
      ...(gid === 0 ? [] : [`fsgid=${gid}`]),
    ],
  };
}

/** The magic number of the file system that `path` lies in; 0 when there is nothing. */
function fileSystemOf(path: string): number {
  try {
    return statfsSync(path).type;
  } catch {
    return 0; // Whoever shows it to the guest says what is wrong with it.
  }
}

function unsupported(what: string): ShimError {
  return new ShimError(StatusCode.INVALID_ARGUMENT, `${what} is not supported by kata-fs`);
}
