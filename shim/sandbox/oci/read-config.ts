import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ShimError, StatusCode } from "../../error.js";

/** A bundle's config.json, as its JSON is parsed. @throws ShimError INVALID_ARGUMENT */
export function readConfig(bundle: string): unknown {
  const file = join(bundle, "config.json");
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `${file}: ${messageOf(cause)}`, { cause });
  }
}
