import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** An inode on which some process waits. */
export interface WatchedInode {
  /** As stat(2) has them. */
  readonly device: bigint;
  readonly inode: bigint;
  /** Node id of FUSE, if the inode is on such a file system. */
  readonly nodeId: bigint | undefined;
}

const INOTIFY = "anon_inode:inotify";

/** File handles of FUSE (FILEID_INO64_GEN, include/linux/exportfs.h): the node id's high half, its low half, the generation. */
const FUSE_HANDLE_TYPE = "81";
const FUSE_HANDLE = /^([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{8}$/;

/** The inodes that processes of the guest wait on with inotify(7), in any namespace. */
export class Watches {
  readonly #inodes: readonly WatchedInode[];
  readonly #keys: ReadonlySet<string>;

  private constructor(inodes: readonly WatchedInode[]) {
    this.#inodes = inodes;
    this.#keys = new Set(inodes.map(({ device, inode }) => keyOf(device, inode)));
  }

  /** Reads what procfs at `proc` says of every process. */
  static read(proc = "/proc"): Watches {
    const inodes: WatchedInode[] = [];
    for (const pid of readdirSync(proc)) {
      if (!/^\d+$/.test(pid)) continue;
      for (const fd of namesIn(`${proc}/${pid}/fd`)) {
        if (linkTarget(`${proc}/${pid}/fd/${fd}`) !== INOTIFY) continue;
        inodes.push(...parseFdinfo(textOf(`${proc}/${pid}/fdinfo/${fd}`)));
      }
    }
    return new Watches(inodes);
  }

  get isEmpty(): boolean {
    return this.#inodes.length === 0;
  }

  has({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): boolean {
    return this.#keys.has(keyOf(dev, ino));
  }

  /** Node ids of inodes on a file system. */
  nodeIdsOn(dev: bigint): bigint[] {
    const found = this.#inodes.filter(({ device }) => device === dev).map(({ nodeId }) => nodeId);
    return [...new Set(found)].filter((nodeId) => nodeId !== undefined);
  }
}

/** The watches of an inotify descriptor: Documentation/filesystems/proc.rst of the kernel, "/proc/<pid>/fdinfo". */
export function parseFdinfo(text: string): WatchedInode[] {
  return [...text.matchAll(/^inotify .*$/gm)].flatMap(([line]) => {
    const field = (name: string) => new RegExp(` ${name}:([0-9a-f]+)`).exec(line)?.[1];
    const inode = field("ino");
    const device = field("sdev");
    if (inode === undefined || device === undefined) return [];
    const handle = field("fhandle-type") === FUSE_HANDLE_TYPE ? field("f_handle") : undefined;
    return [
      { inode: BigInt(`0x${inode}`), device: toStatDevice(BigInt(`0x${device}`)), nodeId: nodeIdOf(handle) },
    ];
  });
}

/** From the kernel's own device number, 12 bits and 20 bits, to the C library's. */
function toStatDevice(device: bigint): bigint {
  const major = device >> 20n;
  const minor = device & 0xf_ffffn;
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n);
}

/** The handle's three numbers stand in the machine's byte order. */
function nodeIdOf(handle: string | undefined): bigint | undefined {
  const [, high, low] = FUSE_HANDLE.exec(handle ?? "") ?? [];
  if (high === undefined || low === undefined) return undefined;
  const number = (hex: string) => BigInt(Buffer.from(hex, "hex").readUInt32LE(0));
  return (number(high) << 32n) | number(low);
}

function keyOf(device: bigint, inode: bigint): string {
  return `${device}/${inode}`;
}

// Processes end, and descriptors are closed, while they are looked at: what is gone waits for nothing.

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
