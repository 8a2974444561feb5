import type { SandboxLayout } from "./layout.js";
import type { OverlayBroker } from "./overlay-broker.js";
import { Share } from "./share.js";
import type { ShareEntry } from "./share-entry.js";

/**
 * The sandbox's two shares, each behind a virtio-fs device of its own: one for what nobody outside of the sandbox changes, one for what the host
 * changes, too. Whether a guest gathers writes is settled for a device as a whole. All parts of an overlay are behind one device: on two,
 * files would have inode numbers beyond 2⁵³, or several device numbers.
 */
export class Shares {
  private constructor(
    private readonly common: Share,
    private readonly own: Share,
  ) {}

  /** @throws SysError */
  static create(layout: SandboxLayout, broker: OverlayBroker): Shares {
    const common = Share.create(layout, broker);
    try {
      return new Shares(common, Share.create(layout.own, broker));
    } catch (error) {
      common.destroy();
      throw error;
    }
  }

  /** As {@link Share.add}, in the share where the entry belongs. @throws ShimError */
  add(entry: ShareEntry): void {
    (entry.isOwn ? this.own : this.common).add(entry);
  }

  /** Removes everything at and below `path` from both. @throws SysError */
  remove(path: string): void {
    this.own.remove(path);
    this.common.remove(path);
  }

  /** Removes both with all that is mounted in them. @throws SysError */
  destroy(): void {
    this.own.destroy();
    this.common.destroy();
  }
}
