/** What a handler may know of its call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Aborted when the deadline has passed or the connection is gone: nobody reads the answer then. */
  readonly signal: AbortSignal;
  /** By Date.now(); absent when the caller waits for ever. */
  readonly deadlineMs?: number;
}

/** Answers one call with the reply's payload. What it throws goes to the caller by {@link TtrpcError.from}. */
export type UnaryHandler = (payload: Uint8Array, context: CallContext) => Promise<Uint8Array>;

/** Handlers by service ("containerd.task.v2.Task") and method ("Create"). */
export type ServiceTable = Readonly<Record<string, Readonly<Record<string, UnaryHandler>>>>;

/** Sees a failed call before its caller does. */
export type ErrorObserver = (error: unknown, context: CallContext) => void;
