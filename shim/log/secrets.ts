/**
 * Where a dump of a Rust structure begins, plain or as part of a JSON string. Kata's agent logs whole messages that way, such as the specification of
 * a container with its processes' arguments and environment.
 */
const STRUCTURE = /\b[A-Z]\w* \{.*$/gm;

/** A guest's words without dumps of structures, in which there may be secrets: each line ends where the first one begins. */
export function withoutStructures(text: string): string {
  return text.replaceAll(STRUCTURE, "…");
}
