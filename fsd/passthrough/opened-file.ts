import { Errno } from "../../lib/sys/errno.js";
import { FUSE_NO_OPEN_SUPPORT } from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";

/** The slot of the open file whose handle is at `offset` of the request, or 0. */
function slotAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  return fs.handles.slotOf(request.uint32(offset), request.uint32(offset + 4), HandleKind.file);
}

/** The descriptor of the open file whose handle is at `offset` of the request, or -1. */
export function fileAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  const slot = slotAt(fs, request, offset);
  return slot === 0 ? -1 : fs.handles.fd(slot);
}

/** Whether writes by the handle at `offset` of the request, which is one, wait for the disk. */
export function isSynchronous(fs: FileSystem, request: FuseRequest, offset: number): boolean {
  return fs.handles.isSynchronous(slotAt(fs, request, offset));
}

/**
 * The descriptor for writing of the handle at `offset` of the request.
 * @returns -errno if there is none: EROFS where the guest does without handles, since nothing changes there
 */
export function writableAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  const fd = fileAt(fs, request, offset);
  if (fd >= 0) return fd;
  return isWithoutHandle(fs, request, offset) ? -Errno.EROFS : -Errno.EBADF;
}

/** Whether the guest's kernel has opened the file without asking: the handle at `offset` of the request is none then. */
export function isWithoutHandle(fs: FileSystem, request: FuseRequest, offset: number): boolean {
  return request.uint64(offset) === 0 && fs.session.doesWithout(FUSE_NO_OPEN_SUPPORT);
}
