/** Types of oci.proto under shorter names. */
export type Int64 = number | { toString(): string };
