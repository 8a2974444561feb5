import { JsonReader } from "./json-reader.js";

/** The longest name that sethostname(2) takes. */
const HOSTNAME_MAX_BYTES = 64;

/** The host name of the container that `config` (config.json) describes, which becomes the guest's; empty for none. */
export function hostnameOf(config: unknown): string {
  return JsonReader.of(config, "config.json").text("hostname").slice(0, HOSTNAME_MAX_BYTES);
}
