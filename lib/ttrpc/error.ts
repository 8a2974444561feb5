import { StatusCode, statusName } from "./status.js";

/** A detail of a status: a google.protobuf.Any that is passed through unread. */
export type StatusDetail = Uint8Array;

/** A call that failed: the status that goes over, or came over, the wire. */
export class TtrpcError extends Error {
  override readonly name = "TtrpcError";

  /**
   * @param code a {@link StatusCode}, or a number that a peer made up
   * @param rawMessage what goes over the wire; `message` has the code's name before it
   */
  constructor(
    readonly code: number,
    readonly rawMessage: string,
    readonly details: readonly StatusDetail[] = [],
    options?: { cause?: unknown },
  ) {
    super(`[${statusName(code)}] ${rawMessage}`, options);
  }

  /** Any thrown value as a status: itself if it is one; else UNKNOWN with its message, the value kept as `cause`. */
  static from(error: unknown): TtrpcError {
    if (error instanceof TtrpcError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new TtrpcError(StatusCode.UNKNOWN, message, [], { cause: error });
  }
}
