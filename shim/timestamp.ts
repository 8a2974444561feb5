import type { containerd } from "../proto/index.js";

/** A point in time as protobuf has it. */
export function timestampOf(date: Date): containerd.Timestamp.$Properties {
  const seconds = Math.floor(date.getTime() / 1_000);
  return { seconds, nanos: (date.getTime() - seconds * 1_000) * 1_000_000 };
}
