import { TtrpcError } from "../lib/ttrpc/error.js";
import { StatusCode } from "../lib/ttrpc/status.js";

export { StatusCode };

/** What the shim refuses, or what failed in it, with the status that containerd's caller sees. */
export class ShimError extends Error {
  override readonly name = "ShimError";

  constructor(
    readonly code: StatusCode,
    message: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * Statuses of the agent that mean the same to containerd. Above all UNIMPLEMENTED is not among them: containerd 2.x takes it
 * for a shim of an older version and calls again.
 */
const PASSED_ON: ReadonlySet<number> = new Set([
  StatusCode.NOT_FOUND,
  StatusCode.INVALID_ARGUMENT,
  StatusCode.DEADLINE_EXCEEDED,
  StatusCode.UNAVAILABLE,
]);

/** The status that containerd gets for anything that was thrown. */
export function toStatus(thrown: unknown): TtrpcError {
  if (thrown instanceof ShimError) {
    return new TtrpcError(thrown.code, messageOf(thrown), [], { cause: thrown });
  }
  if (thrown instanceof TtrpcError) {
    const code = PASSED_ON.has(thrown.code) ? thrown.code : StatusCode.UNKNOWN;
    return new TtrpcError(code, withoutBacktrace(thrown.rawMessage), [], { cause: thrown });
  }
  return new TtrpcError(StatusCode.UNKNOWN, messageOf(thrown), [], { cause: thrown });
}

/** Kata's agent has its call stack behind the reason, which tells a caller nothing. */
function withoutBacktrace(message: string): string {
  return message.replace(/\s*\bStack backtrace:\n.*$/s, "");
}

/** The message of anything that was thrown, on one line. */
export function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.trim().replaceAll(/\s*\n\s*/g, "; ");
}
