import type { ExportPolicy } from "./export-policy.js";
import type { ExportTree } from "./export-tree.js";
import type { NameSource } from "./inode-locators.js";
import type { InodeTable } from "./inode-table.js";
import { MountFlag, type MountTable } from "./mount-table.js";

/** Which rules an inode is under: those of the export that it is in, and of its mount on the host. */
export class InodePolicies {
  /** @param mapsEverything whether files are mapped into the guest whatever their size */
  constructor(
    private readonly inodes: InodeTable,
    private readonly mounts: MountTable,
    private readonly exports: ExportTree,
    private readonly mapsEverything: boolean,
  ) {}

  of(slot: number): ExportPolicy {
    return this.#ofMount(this.inodes.mount(slot));
  }

  /** Whether changes of the inode, or of entries of the directory, are refused. */
  isReadOnly(slot: number): boolean {
    const mount = this.inodes.mount(slot);
    return this.#ofMount(mount).readOnly || (this.mounts.flags(mount) & MountFlag.readOnly) !== 0;
  }

  /** Whether files on the inode's export may be mapped into the guest. */
  isMappable(slot: number): boolean {
    return this.mapsEverything || Number.isFinite(this.of(slot).daxThresholdBytes);
  }

  /** The part of the exports that an inode is in: see {@link ExportTree}. Entries are not moved or linked to another one. */
  zone(slot: number): number {
    return this.mounts.zone(this.inodes.mount(slot));
  }

  /** The zone of the name at `offset` of `source` in the directory. */
  childZone(parent: number, source: NameSource, offset: number): number {
    return this.exports.child(this.zone(parent), source.bytes, offset);
  }

  /** The zone of a file without a name in the directory. */
  namelessZone(parent: number): number {
    return this.exports.nameless(this.zone(parent));
  }

  #ofMount(mount: number): ExportPolicy {
    return this.exports.policy(this.mounts.zone(mount));
  }
}
