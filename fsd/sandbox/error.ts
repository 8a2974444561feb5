/** A sandbox that cannot be had as it was asked for: what is in the way, and what can be done. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
}
