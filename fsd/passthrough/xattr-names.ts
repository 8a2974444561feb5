import { addressOf } from "../../lib/sys/libc.js";
import { FUSE_POSIX_ACL } from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import { NameMap, Verdict } from "../xattr-map/name-map.js";
import { overlayNames, volumeNames } from "../xattr-map/overlay-names.js";
import type { Session } from "./session.js";

export const ACL_ACCESS = Buffer.from("system.posix_acl_access");
const ACLS = [ACL_ACCESS, Buffer.from("system.posix_acl_default")];
const CAPABILITY = Buffer.from("security.capability");
const EVERYTHING = new Uint8Array(0);

/** To a guest that does not check ACLs there must be none: what it shows as the group's permissions would be their mask. */
const withoutAcls = new NameMap(
  [
    ...ACLS.map((match) => ({ match, exact: true, verdict: Verdict.unsupported })),
    { match: EVERYTHING, verdict: Verdict.pass },
  ],
  [...ACLS.map((match) => ({ match, exact: true, show: false })), { match: EVERYTHING, show: true }],
);

/** The maps of a device: for directories that overlays of guest and host have in common, and for everything else. */
export interface XattrMaps {
  readonly overlay: NameMap;
  readonly others: NameMap;
}

/** @param hasOverlays whether there are directories that host and guest have in common */
export function xattrMaps(rules: NameMap | undefined, hasOverlays: boolean): XattrMaps {
  if (hasOverlays) return { overlay: overlayNames(), others: volumeNames() };
  const map = rules ?? NameMap.identity();
  return { overlay: map, others: map };
}

/** The names of extended attributes on a device, by its rules and by what FUSE_INIT has settled. */
export class XattrNames {
  /** Address of the host's name after {@link toHost} said that it passes or is renamed, good until the next call. */
  address = 0;
  /** Address of the name that security.capability has on the host, if it is another one; 0 otherwise. */
  readonly renamedCapability: number;
  readonly #overlayAddress: number;
  readonly #othersAddress: number;
  readonly #capability: Uint8Array;

  constructor(
    private readonly session: Session,
    private readonly maps: XattrMaps,
  ) {
    this.#overlayAddress = addressOf(maps.overlay.renamed);
    this.#othersAddress = addressOf(maps.others.renamed);
    const { others } = maps;
    const isRenamed = others.toHost(CAPABILITY, 0, CAPABILITY.length) === Verdict.renamed;
    this.#capability = isRenamed ? others.renamed.slice(0, others.renamedLength + 1) : EVERYTHING;
    this.renamedCapability = isRenamed ? addressOf(this.#capability) : 0;
  }

  /** What becomes of the guest's name: `length` bytes, and a NUL, at `offset` of the request. */
  toHost(request: FuseRequest, offset: number, length: number, isOverlay: boolean): Verdict {
    if (!this.#hasAcls && withoutAcls.toHost(request.bytes, offset, length) !== Verdict.pass)
      return Verdict.unsupported;
    const map = isOverlay ? this.maps.overlay : this.maps.others;
    const verdict = map.toHost(request.bytes, offset, length);
    const renamed = isOverlay ? this.#overlayAddress : this.#othersAddress;
    this.address = verdict === Verdict.renamed ? renamed : request.address + offset;
    return verdict;
  }

  /** As {@link NameMap.listToGuest}. */
  listToGuest(bytes: Uint8Array, offset: number, length: number, isOverlay: boolean): number {
    const map = isOverlay ? this.maps.overlay : this.maps.others;
    const listed = map.listToGuest(bytes, offset, length);
    return this.#hasAcls ? listed : withoutAcls.listToGuest(bytes, offset, listed);
  }

  get #hasAcls(): boolean {
    return this.session.has(FUSE_POSIX_ACL);
  }
}
