import { OptionsError } from "./error.js";

/** Names of the C virtiofsd that differ in more than underscores, and those whose value is another one today. */
const SWITCHES: Readonly<Record<string, readonly string[]>> = {
  xattr: ["--xattr"],
  no_xattr: [],
  readdirplus: [],
  no_readdirplus: ["--no-readdirplus"],
  writeback: ["--writeback"],
  no_writeback: [],
  allow_direct_io: ["--allow-direct-io"],
  no_allow_direct_io: [],
  announce_submounts: ["--announce-submounts"],
  killpriv_v2: ["--killpriv-v2"],
  no_killpriv_v2: ["--no-killpriv-v2"],
  posix_acl: ["--posix-acl"],
  no_posix_acl: ["--posix-acl=never"],
  security_label: ["--security-label"],
  no_security_label: ["--security-label=never"],
  posix_lock: [],
  no_posix_lock: ["--no-posix-lock"],
  flock: [],
  no_flock: ["--no-flock"],
};

const SETTINGS: Readonly<Record<string, string>> = {
  source: "--shared-dir",
  xattrmap: "--xattrmap",
  modcaps: "--modcaps",
  sandbox: "--sandbox",
  cache: "--cache",
  log_level: "--log-level",
  loglevel: "--log-level",
};

const VALUES: Readonly<Record<string, string>> = {
  "cache=none": "never",
  "log_level=err": "error",
  "loglevel=err": "error",
};

/**
 * The options of today for the value of one `-o`, as libvirt gives it to a daemon that does not call itself able to do without. A comma
 * in a value is doubled.
 *
 * @throws OptionsError
 */
export function translateLegacyOptions(list: string): string[] {
  return splitAtCommas(list).flatMap((word) => {
    const at = word.indexOf("=");
    const name = at < 0 ? word : word.slice(0, at);
    const modern = at < 0 ? SWITCHES[name] : undefined;
    if (modern !== undefined) return modern;
    const setting = SETTINGS[name];
    if (at < 0 || setting === undefined) throw new OptionsError(`-o ${word}: not supported`);
    return [`${setting}=${VALUES[word] ?? word.slice(at + 1)}`];
  });
}

function splitAtCommas(list: string): string[] {
  const words = [""];
  for (const [part] of list.matchAll(/,,|,|[^,]+/g)) {
    if (part === ",") words.push("");
    else words.push(`${words.pop() ?? ""}${part === ",," ? "," : part}`);
  }
  return words.filter((word) => word !== "");
}
