import { readFileSync } from "node:fs";
import { join } from "node:path";
import { JsonReader } from "./json-reader.js";

/** The longest name that sethostname(2) takes. */
const HOSTNAME_MAX_BYTES = 64;

/** The host name of the container in `bundle`, which becomes the guest's; empty for none. */
export function hostnameOf(bundle: string): string {
  const config: unknown = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  return JsonReader.of(config, "config.json").text("hostname").slice(0, HOSTNAME_MAX_BYTES);
}
