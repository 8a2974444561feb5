/** gRPC status codes that the shim answers with (google.rpc.Code). */
export const StatusCode = {
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

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

/** The message of anything that was thrown, on one line. */
export function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.trim().replaceAll(/\s*\n\s*/g, "; ");
}
