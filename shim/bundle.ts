import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ShimError, StatusCode } from "./error.js";

/** Largest config.json that is read; the largest that containerd is known to write has a few hundred KiB. */
const CONFIG_MAX_BYTES = 16 * 1024 * 1024;

/**
 * The annotations of the bundle's config.json; none when the file names none.
 *
 * @throws ShimError INVALID_ARGUMENT if the file is missing or is no OCI configuration
 */
export function readAnnotations(bundle: string): Readonly<Record<string, string>> {
  const file = join(bundle, "config.json");
  let config: unknown;
  try {
    const text = readFileSync(file);
    if (text.length > CONFIG_MAX_BYTES) throw new RangeError(`larger than ${CONFIG_MAX_BYTES} bytes`);
    config = JSON.parse(text.toString("utf8"));
  } catch (error) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `${file}: ${messageOf(error)}`, { cause: error });
  }
  if (!isRecord(config)) throw new ShimError(StatusCode.INVALID_ARGUMENT, `${file} holds no JSON object`);
  const { annotations = {} } = config;
  if (!isRecord(annotations) || !Object.values(annotations).every((value) => typeof value === "string")) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `${file}: annotations must be an object with string values`,
    );
  }
  return annotations as Record<string, string>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
