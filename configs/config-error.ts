/** A configuration that cannot be used. The message is one line: where, what was found, what is needed. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
