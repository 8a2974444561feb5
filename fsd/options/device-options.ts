import type { CacheMode, DaxMode } from "../passthrough/export-policy.js";
import {
  type InodeFileHandles,
  type Negotiation,
  PRESET_SHARE_POLICY,
  type SharePolicy,
} from "../passthrough/share-policy.js";
import { TAG_BYTES_MAX } from "../virtio-fs-config.js";
import type { NameMap } from "../xattr-map/name-map.js";
import { parseXattrMap, XattrMapError } from "../xattr-map/rules.js";
import { OptionsError } from "./error.js";
import { parseExport } from "./export-option.js";
import type { FlagName } from "./flags.js";
import type { GivenOptions } from "./grammar.js";
import { parseIdMap } from "./id-map.js";
import { oneOf, parseCount, parseSize } from "./values.js";

/** Where the front end connects: at a path that the daemon listens on, or at a listening socket that it inherited. */
export type SocketOptions =
  | {
      readonly path: string;
      /** Name of the group that may connect, too. */
      readonly group: string | undefined;
    }
  | { readonly fd: number };

/** One device: a socket, and what is behind it. */
export interface DeviceOptions extends SharePolicy {
  readonly socket: SocketOptions;
  readonly sharedDir: string;
  /** Without a tag the device has no configuration space. */
  readonly tag: string | undefined;
  readonly requestQueues: number;
  /** An inherited stream socket behind which marks of overlays are handled: see lib/overlay-marks. */
  readonly overlayBrokerFd: number | undefined;
  /** A power of two. */
  readonly daxWindowBytes: number;
}

/** What a device is called in messages: by its tag, or by its socket. */
export function deviceName({ tag, socket }: DeviceOptions): string {
  return tag ?? ("fd" in socket ? `fd ${socket.fd}` : socket.path);
}

const CACHE_MODES: readonly CacheMode[] = ["auto", "always", "never", "metadata"];
const DAX_MODES: readonly DaxMode[] = ["always", "inode", "never"];
const NEGOTIATIONS: readonly Negotiation[] = ["never", "auto", "always"];
const INODE_FILE_HANDLES: readonly InodeFileHandles[] = ["never", "prefer", "mandatory"];
/** Most maps that a window may have: QEMU aborts at 512 regions in all. */
const DAX_WINDOW_BYTES_MAX = 2 ** 29;
const DAX_RANGE_BYTES = 2 ** 21;
const REQUEST_QUEUES_MAX = 64;
const SECONDS_MAX = 2 ** 31 - 1;
const FD_MAX = 2 ** 20;

type Given = GivenOptions<FlagName>;

/** What a device's part of the command line says. @throws OptionsError */
export function deviceOptions(given: Given): DeviceOptions {
  const preset = PRESET_SHARE_POLICY;
  const readOnly = given.has("readonly");
  const xattrMap = xattrMapOption(given);
  const brokerFd = given.text("overlay-broker-fd");
  const overlayBrokerFd =
    brokerFd === undefined ? undefined : parseCount("overlay-broker-fd", brokerFd, 0, FD_MAX);
  if (xattrMap !== undefined && brokerFd !== undefined) {
    throw new OptionsError(
      "--overlay-broker-fd has rules of its own for names: it cannot go with --xattrmap",
    );
  }
  const posixAcl = negotiation(given, "posix-acl");
  const securityLabel = negotiation(given, "security-label");
  const uids = parseIdMap("translate-uid", given.all("translate-uid"));
  const gids = parseIdMap("translate-gid", given.all("translate-gid"));
  if (posixAcl !== "never" && (given.has("translate-uid") || given.has("translate-gid"))) {
    throw new OptionsError(
      `--posix-acl=${posixAcl}: the ids in ACLs are not translated, so --translate-uid and --translate-gid cannot go with it`,
    );
  }
  const negativeSeconds = given.text("negative-timeout");
  return {
    socket: socketOptions(given),
    sharedDir: sharedDir(given),
    tag: tagOption(given),
    requestQueues: parseCount("request-queues", given.text("request-queues") ?? "1", 1, REQUEST_QUEUES_MAX),
    readOnly,
    cache: oneOf("cache", given.text("cache") ?? preset.cache, CACHE_MODES),
    writeback: given.has("writeback"),
    allowMmap: given.has("allow-mmap"),
    allowDirectIo: given.has("allow-direct-io"),
    readdirplus: !given.has("no-readdirplus"),
    announceSubmounts: given.isOn("announce-submounts", "no-announce-submounts", preset.announceSubmounts),
    overlayBrokerFd,
    xattr:
      given.has("xattr") ||
      xattrMap !== undefined ||
      brokerFd !== undefined ||
      posixAcl !== "never" ||
      securityLabel !== "never",
    xattrMap,
    posixAcl,
    securityLabel,
    posixLock: !given.has("no-posix-lock"),
    flock: !given.has("no-flock"),
    killprivV2: given.isOn("killpriv-v2", "no-killpriv-v2", preset.killprivV2),
    inodeFileHandles: inodeFileHandles(given),
    uids,
    gids,
    preserveNoatime: given.has("preserve-noatime"),
    ...daxOptions(given, readOnly),
    exports: given.all("export").map(parseExport),
    negativeSeconds:
      negativeSeconds === undefined
        ? undefined
        : parseCount("negative-timeout", negativeSeconds, 0, SECONDS_MAX),
  };
}

function socketOptions(given: Given): SocketOptions {
  const path = given.text("socket-path") ?? given.text("socket");
  const fd = given.text("fd");
  const group = given.text("socket-group");
  if (fd === undefined) {
    if (path === undefined) throw new OptionsError("--socket-path, or --fd, is missing");
    return { path, group };
  }
  if (path !== undefined)
    throw new OptionsError("--fd and --socket-path are two ways to say the same: give one");
  if (group !== undefined) throw new OptionsError("--socket-group is for a --socket-path, not for an --fd");
  return { fd: parseCount("fd", fd, 0, FD_MAX) };
}

function sharedDir(given: Given): string {
  const dir = given.text("shared-dir");
  if (dir === undefined || dir === "") throw new OptionsError("--shared-dir is missing");
  return dir;
}

function tagOption(given: Given): string | undefined {
  const tag = given.text("tag");
  if (tag === undefined) return undefined;
  const tagBytes = Buffer.byteLength(tag);
  if (tagBytes === 0 || tagBytes > TAG_BYTES_MAX) {
    throw new OptionsError(`--tag=${tag}: ${tagBytes} bytes; 1 to ${TAG_BYTES_MAX} are possible`);
  }
  return tag;
}

function xattrMapOption(given: Given): NameMap | undefined {
  const rules = given.text("xattrmap");
  if (rules === undefined) return undefined;
  try {
    return parseXattrMap(rules);
  } catch (error) {
    if (!(error instanceof XattrMapError)) throw error;
    throw new OptionsError(`--xattrmap: ${error.message}`, { cause: error });
  }
}

/** Without a value the feature is demanded. */
function negotiation(given: Given, name: "posix-acl" | "security-label"): Negotiation {
  const text = given.text(name);
  if (text === undefined) return "never";
  return text === "" ? "always" : oneOf(name, text, NEGOTIATIONS);
}

function inodeFileHandles(given: Given): InodeFileHandles {
  const text = given.text("inode-file-handles") ?? PRESET_SHARE_POLICY.inodeFileHandles;
  // The name that "prefer" had before.
  return oneOf("inode-file-handles", text === "fallback" ? "prefer" : text, INODE_FILE_HANDLES);
}

function daxOptions(given: Given, readOnly: boolean) {
  const dax = oneOf("dax", given.text("dax") ?? PRESET_SHARE_POLICY.dax, DAX_MODES);
  if (dax === "always" && !readOnly) {
    throw new OptionsError("--dax=always needs --readonly: files that the guest may write to are not mapped");
  }
  const window = given.text("dax-window") ?? "256M";
  const daxWindowBytes = parseSize("dax-window", window);
  const isPowerOfTwo = Number.isInteger(Math.log2(daxWindowBytes));
  if (!isPowerOfTwo || daxWindowBytes < DAX_RANGE_BYTES || daxWindowBytes > DAX_WINDOW_BYTES_MAX) {
    throw new OptionsError(`--dax-window=${window}: a power of two from 2M to 512M is needed`);
  }
  const threshold = given.text("dax-threshold");
  const daxThresholdBytes =
    threshold === undefined ? PRESET_SHARE_POLICY.daxThresholdBytes : parseSize("dax-threshold", threshold);
  return { dax, daxWindowBytes, daxThresholdBytes };
}
