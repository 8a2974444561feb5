import type { FuseRequest } from "../fuse/request.js";
import { extensions } from "./caller.js";
import type { FileSystem } from "./file-system.js";
import { setAttribute } from "./xattr.js";

/**
 * Gives a file that was just made the label that the guest's security module wants for it, an extended attribute, and fills `fs.statx`
 * anew. Between the two the file has the label that the host gives it: no other guest's program sees it before the answer.
 * @returns 0, or -errno
 */
export function labelCreated(fs: FileSystem, request: FuseRequest, slot: number): number {
  if (extensions.labelName === 0) return 0;
  const { labelName, labelNameLength, labelValue, labelLength } = extensions;
  const value = request.address + labelValue;
  const result = setAttribute(fs, request, slot, labelName, labelNameLength, value, labelLength);
  return result < 0 ? result : fs.stat(slot);
}
