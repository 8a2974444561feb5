import { FUSE_HANDLE_KILLPRIV_V2, FUSE_WRITEBACK_CACHE } from "../fuse/constants.js";
import { SESSION } from "../state.js";

/** What FUSE_INIT has settled with the guest. */
export interface Settled {
  readonly minor: number;
  /** `flags` of struct fuse_init_in, as the guest offered them. */
  readonly offeredFlags: number;
  readonly flags: number;
  readonly flags2: number;
}

/** The session, from FUSE_INIT to FUSE_DESTROY or to the device's reset. */
export class Session {
  /** @param isStatic whether nothing on the device ever changes */
  constructor(
    private readonly view: DataView,
    readonly isStatic: boolean,
  ) {}

  get isInitialised(): boolean {
    return this.view.getUint32(SESSION.initialised, true) !== 0;
  }

  begin(settled: Settled): void {
    this.view.setUint32(SESSION.initialised, 1, true);
    this.view.setUint32(SESSION.minor, settled.minor, true);
    this.view.setUint32(SESSION.offeredFlags, settled.offeredFlags, true);
    this.view.setUint32(SESSION.flags, settled.flags, true);
    this.view.setUint32(SESSION.flags2, settled.flags2, true);
  }

  end(): void {
    this.view.setUint32(SESSION.initialised, 0, true);
  }

  /** Whether a flag of `flags` is in force. */
  has(flag: number): boolean {
    return (this.view.getUint32(SESSION.flags, true) & flag) !== 0;
  }

  /** Whether the guest gathers writes in its page cache. */
  get gathersWrites(): boolean {
    return this.has(FUSE_WRITEBACK_CACHE);
  }

  /**
   * Whether set-id bits stay on a file whose content changes by a request that cannot say so, as FALLOCATE: the guest has taken them away
   * where that is due, unless FUSE_INIT made it the daemon's task. Then they go: better for root's changes, too, than for nobody's.
   */
  get keepsSetIdBits(): boolean {
    return !this.has(FUSE_HANDLE_KILLPRIV_V2);
  }

  /**
   * Whether the guest shall do without OPEN or OPENDIR, as `supportFlag` of FUSE_INIT says it can: where nothing ever changes, they tell
   * neither side anything, and a guest boots faster without some hundred round trips. The guest's kernel does without them on the whole device
   * or nowhere, so all exports must be immutable.
   */
  doesWithout(supportFlag: number): boolean {
    return this.isStatic && (this.view.getUint32(SESSION.offeredFlags, true) & supportFlag) !== 0;
  }
}
