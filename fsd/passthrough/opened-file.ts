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
