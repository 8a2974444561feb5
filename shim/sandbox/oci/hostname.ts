import { hostname } from "node:os";
import { JsonReader } from "./json-reader.js";

/** The longest name that sethostname(2) takes. */
const HOSTNAME_MAX_BYTES = 64;

/** The host name of the container that `config` (config.json) describes, which becomes the guest's. Without one it has the host's, as under runc. */
export function hostnameOf(config: unknown): string {
  const own = JsonReader.of(config, "config.json").text("hostname");
  return (own === "" ? hostname() : own).slice(0, HOSTNAME_MAX_BYTES);
}
