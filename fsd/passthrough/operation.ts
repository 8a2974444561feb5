import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";

/** Result of an operation that cannot be answered yet: its request is kept, and served again. No errno is as large. */
export const ANSWERED_LATER = -0x1_0000;

/** Result of an operation for which {@link import("./long-calls.js").LongCalls.begin} was called. */
export const UNDER_WAY = -0x1_0001;

/**
 * Serves one kind of request. The request's header was checked; its arguments were not.
 * @returns the length of the reply's body, which it has built in `reply` (or, with `bodyIsInPlace`, in guest memory); or -errno; or
 * {@link ANSWERED_LATER} or {@link UNDER_WAY}.
 */
export type Operation = (fs: FileSystem, request: FuseRequest, reply: FuseReply) => number;
