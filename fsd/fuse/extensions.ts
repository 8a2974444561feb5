import { Errno } from "../../lib/sys/errno.js";
import { FUSE_EXT_GROUPS, FUSE_MAX_NR_SECCTX } from "./constants.js";
import type { FuseRequest } from "./request.js";

/** In struct fuse_in_header: the length of all extensions, in units of 8 bytes. */
const TOTAL_EXTLEN = 36;
/** struct fuse_ext_header, and struct fuse_secctx_header, which begins the same way. */
const HEADER_BYTES = 8;
const SECCTX_BYTES = 8;

/**
 * What stands behind the arguments of a request that makes something: one supplementary group of the caller's, and a security label.
 * One object serves all requests.
 */
export class RequestExtensions {
  /** The supplementary group by which the caller may work in the directory, or -1. */
  group = -1;
  /** The label's name in the request, 0 if there is none, and its length. */
  labelName = 0;
  labelNameLength = 0;
  /** The label itself. */
  labelValue = 0;
  labelLength = 0;

  /**
   * Reads the extensions of a request whose arguments end at `end`. Of kinds that are not known nothing is made.
   * @returns 0, or -EINVAL
   */
  read(request: FuseRequest, end: number): number {
    this.group = -1;
    this.labelName = 0;
    let at = request.length - request.view.getUint16(TOTAL_EXTLEN, true) * 8;
    if (at < end) return -Errno.EINVAL;
    while (at < request.length) {
      if (!request.has(at + HEADER_BYTES)) return -Errno.EINVAL;
      const size = request.uint32(at);
      const type = request.uint32(at + 4);
      if (size < HEADER_BYTES || size > request.length - at) return -Errno.EINVAL;
      let result = 0;
      if (type === FUSE_EXT_GROUPS) result = this.#readGroups(request, at + HEADER_BYTES, at + size);
      else if (type <= FUSE_MAX_NR_SECCTX && type > 0)
        result = this.#readLabel(request, at + HEADER_BYTES, at + size);
      if (result < 0) return result;
      at += (size + 7) & ~7;
    }
    return 0;
  }

  /** struct fuse_supp_groups. The guest's kernel sends the one group that matters. */
  #readGroups(request: FuseRequest, at: number, end: number): number {
    if (at + 4 > end) return -Errno.EINVAL;
    const count = request.uint32(at);
    if (count > 1 || at + 4 + 4 * count > end) return -Errno.EINVAL;
    if (count === 1) this.group = request.uint32(at + 4);
    return 0;
  }

  /** The first struct fuse_secctx, with its name and its value behind it. The guest's kernel sends one. */
  #readLabel(request: FuseRequest, at: number, end: number): number {
    if (at + SECCTX_BYTES > end) return -Errno.EINVAL;
    const length = request.uint32(at);
    const name = at + SECCTX_BYTES;
    const nameLength = request.takeString(name);
    if (nameLength <= 0) return -Errno.EINVAL;
    const value = name + nameLength + 1;
    if (value > end || length > end - value) return -Errno.EINVAL;
    this.labelName = name;
    this.labelNameLength = nameLength;
    this.labelValue = value;
    this.labelLength = length;
    return 0;
  }
}
