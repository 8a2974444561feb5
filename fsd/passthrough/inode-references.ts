import type { FsdMetrics } from "../metrics.js";
import type { InodeDescriptors } from "./inode-descriptors.js";
import { InodeFlag } from "./inode-fields.js";
import type { InodeLocators } from "./inode-locators.js";
import { type InodeTable, ROOT_SLOT } from "./inode-table.js";
import type { MountTable } from "./mount-table.js";

/** How long an inode stays in the table: as long as the guest holds references, or others are found by a name in it. */
export class InodeReferences {
  constructor(
    private readonly inodes: InodeTable,
    private readonly locators: InodeLocators,
    private readonly mounts: MountTable,
    private readonly descriptors: InodeDescriptors,
    private readonly metrics: FsdMetrics,
  ) {}

  /** Counts one more reference of the guest. @returns the slot */
  count(slot: number): number {
    if (this.inodes.hasFlag(slot, InodeFlag.isForgotten)) {
      this.inodes.clearFlag(slot, InodeFlag.isForgotten);
      this.metrics.inodesLive++;
    }
    this.inodes.setLookups(slot, this.inodes.lookups(slot) + 1);
    return slot;
  }

  /** The guest has no references any more: the inode leaves the table, unless others are found by a name in it. */
  forget(slot: number): void {
    if (this.inodes.children(slot) === 0) {
      this.drop(slot);
      return;
    }
    if (this.inodes.hasFlag(slot, InodeFlag.isForgotten)) return;
    this.inodes.setLookups(slot, 0);
    this.inodes.setFlag(slot, InodeFlag.isForgotten);
    this.metrics.inodesLive--;
  }

  /** Takes an inode out of the table, with all that it has. */
  drop(slot: number): void {
    const parent = this.locators.parent(slot);
    if (slot !== ROOT_SLOT && !this.inodes.hasFlag(slot, InodeFlag.isForgotten)) this.metrics.inodesLive--;
    this.descriptors.drop(slot);
    this.locators.drop(slot);
    this.mounts.count(this.inodes.mount(slot), -1);
    this.inodes.remove(slot);
    if (parent !== 0) this.leave(parent);
  }

  /** An inode is not found by a name in that directory any more. */
  leave(parent: number): void {
    const children = this.inodes.countChildren(parent, -1);
    if (children === 0 && this.inodes.hasFlag(parent, InodeFlag.isForgotten)) this.drop(parent);
  }
}
