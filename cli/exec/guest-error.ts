/** A guest that cannot be talked to; the message says why. */
export class GuestError extends Error {
  override readonly name = "GuestError";
}
