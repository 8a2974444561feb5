/** A command line that cannot be followed: what was found, what is possible. */
export class OptionsError extends Error {
  override readonly name = "OptionsError";
}
