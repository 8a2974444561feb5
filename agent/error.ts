/** Why a call failed, by the gRPC status name that goes on the wire. */
export type AgentErrorCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "UNIMPLEMENTED"
  | "INTERNAL";

/** A call of the agent's protocol that failed. The message goes to the caller, the cause only to the log. */
export class AgentError extends Error {
  override readonly name = "AgentError";

  constructor(
    readonly code: AgentErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Anything thrown, as an AgentError: what has no code of its own is INTERNAL. */
  static from(error: unknown): AgentError {
    if (error instanceof AgentError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new AgentError("INTERNAL", message, { cause: error });
  }
}
