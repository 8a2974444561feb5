import { TAG_BYTES_MAX } from "../virtio-fs-config.js";
import type { OptionSyntax } from "./grammar.js";

/** An option as the usage text explains it. */
export interface Flag extends OptionSyntax {
  /** Which device it is about stands before it on the command line; without this it is about the whole daemon. */
  readonly perDevice?: true;
  readonly help: string;
}

const MIGRATION = "kata-fsd does not migrate: its state is handed on to a new daemon on the same host only";

const USER_NAMESPACE =
  "as root kata-fsd keeps the host's ids, as another user it has that user's id alone; --translate-uid and --translate-gid change what the guest sees";

/** The options by the sections of the usage text. All that virtiofsd 1.14 knows are here, if only to be refused. */
export const SECTIONS = {
  "What is shared, and where": {
    "socket-path": {
      value: "PATH",
      perDevice: true,
      help: "UNIX socket that QEMU, or another front end, connects to",
    },
    fd: { value: "FD", perDevice: true, help: "instead: a listening UNIX socket that was inherited" },
    "socket-group": {
      value: "GROUP",
      perDevice: true,
      help: "group whose members may connect to the socket, besides its owner",
    },
    "shared-dir": { value: "DIR", perDevice: true, help: "directory that the guest sees; must be given" },
    tag: {
      value: "TAG",
      perDevice: true,
      help: `name by which the guest mounts it, at most ${TAG_BYTES_MAX} bytes; for devices that ask the daemon for their configuration, as vhost-user-test-device-pci does. To vhost-user-fs-pci its own property tag= matters`,
    },
    "request-queues": { value: "N", perDevice: true, help: "queues for requests (preset: 1)" },
    device: { perDevice: true, help: "begins the options of a further device of the same daemon" },
  },
  "What the guest may do": {
    readonly: { perDevice: true, help: "refuse every change" },
    xattr: { perDevice: true, help: "extended attributes" },
    xattrmap: {
      value: "RULES",
      perDevice: true,
      help: "rules that rename extended attributes between guest and host, such as :map::user.virtiofs.: (implies --xattr)",
    },
    "overlay-broker-fd": {
      value: "FD",
      perDevice: true,
      help: "inherited socket whose other side marks opaque directories of overlay exports, for a daemon without CAP_SYS_ADMIN; what the host's overlay would obey besides is kept under user.kata-fs. (implies --xattr)",
    },
    "posix-acl": {
      value: "MODE",
      valueIsOptional: true,
      perDevice: true,
      help: "ACLs: never (preset), auto, or always, which is also meant without a value (implies --xattr)",
    },
    "security-label": {
      value: "MODE",
      valueIsOptional: true,
      perDevice: true,
      help: "a new file gets the security label that the guest wants for it: never (preset), auto, or always, which is also meant without a value (implies --xattr)",
    },
    "allow-direct-io": { perDevice: true, help: "pass the guest's O_DIRECT on to the host" },
    "preserve-noatime": { perDevice: true, help: "pass the guest's O_NOATIME on to the host" },
    "killpriv-v2": {
      perDevice: true,
      help: "the daemon, not the guest, clears set-user-id and set-group-id bits when a file is written to",
    },
    "no-killpriv-v2": { perDevice: true, help: "the guest does so (preset)" },
    "no-posix-lock": {
      perDevice: true,
      help: "locks of fcntl(2) are known to this guest alone (preset: to the host, too)",
    },
    "no-flock": { perDevice: true, help: "the same for locks of flock(2)" },
    "announce-submounts": {
      perDevice: true,
      help: "the guest sees mounts below the directory as mounts of their own (preset)",
    },
    "no-announce-submounts": { perDevice: true, help: "the guest sees one file system" },
    "translate-uid": {
      value: "RULE",
      perDevice: true,
      help: "user ids of the guest and the host: guest:FROM:TO:COUNT, host:FROM:TO:COUNT, map:GUEST:HOST:COUNT (both ways), squash-guest:FROM:TO:COUNT and squash-host:FROM:TO:COUNT (all to one), forbid-guest:FROM:COUNT; repeatable",
    },
    "translate-gid": { value: "RULE", perDevice: true, help: "the same for group ids" },
  },
  "What the guest may cache": {
    cache: {
      value: "MODE",
      perDevice: true,
      help: "how long names, attributes and content may be trusted: never; auto (preset): one second; metadata: content never, the rest always; always",
    },
    writeback: { perDevice: true, help: "the guest gathers writes; nobody else may change the files" },
    "allow-mmap": {
      perDevice: true,
      help: "with --cache never or metadata: shared mappings; nobody else may change the files",
    },
    "no-readdirplus": { perDevice: true, help: "listing a directory does not look up what is in it" },
    "negative-timeout": {
      value: "SECONDS",
      perDevice: true,
      help: "how long the guest may remember that a name does not exist (preset: as --cache says)",
    },
    export: {
      value: "GLOB:POLICY",
      perDevice: true,
      help: "another policy for a directory and what is below it, GLOB being a path relative to the shared directory, in which * is any one component, and / that directory itself; immutable: nothing ever changes, not on the host either; exclusive: only this guest changes anything; shared: the host changes things, too, and the guest sees it within a second; or a MODE of --cache. May be followed by ,entry=SECONDS ,attr=SECONDS ,negative=SECONDS ,quiet=SECONDS (or forever), ,dax=on ,dax=off ,dax=SIZE, ,readonly and ,overlay (layers and upper directory of an overlay that the host mounts, too); repeatable, the last one that fits a directory counts",
    },
  },
  "DAX: files mapped into the guest (QEMU 11.1 and later)": {
    dax: {
      value: "MODE",
      perDevice: true,
      help: "inode: large files of immutable exports, and of others with dax=on, that the guest cannot write to; always: every file, with --readonly only; never (preset)",
    },
    "dax-window": {
      value: "SIZE",
      perDevice: true,
      help: "size of the guest's window for mapped files, a power of two from 2M to 512M (preset: 256M)",
    },
    "dax-threshold": {
      value: "SIZE",
      perDevice: true,
      help: "with --dax inode: smallest file that is mapped (preset: 128K)",
    },
  },
  "The daemon's own safety and limits": {
    sandbox: {
      value: "MODE",
      help: "namespace (preset): own mount, pid, network and IPC namespaces, with nothing but the directory in sight; chroot; none",
    },
    seccomp: {
      value: "ACTION",
      help: "what a forbidden system call leads to: kill (preset), log, trap, none",
    },
    modcaps: {
      value: "LIST",
      help: "capabilities that are kept besides, or not, the preset ones, such as +sys_admin:-mknod",
    },
    "rlimit-nofile": {
      value: "N",
      help: "most descriptors that may be open; 0 leaves the limit as it is (preset: 1000000, or what the host allows)",
    },
    "inode-file-handles": {
      value: "MODE",
      perDevice: true,
      help: "how inodes that the guest knows are found again: never: by name; prefer (preset): by file handle where there is one that the daemon may open (--modcaps=+dac_read_search), else by name; mandatory: by file handle only",
    },
    "thread-pool-size": {
      value: "N",
      help: "the most requests of a device that wait for the disk on threads of their own while others are served: fsync and the like; 0: all others wait meanwhile (preset: 4)",
    },
  },
  "What the daemon says": {
    "log-level": { value: "LEVEL", help: "error, warn, info (preset), debug, trace or off" },
    syslog: { help: "log to syslog instead of stderr" },
    "metrics-socket": {
      value: "PATH",
      help: "UNIX socket that answers each connection with the counters, as JSON",
    },
    "events-socket": {
      value: "PATH",
      help: "UNIX socket whose connection gets a line of JSON for each change that the host makes in exports with the policy shared",
    },
    "print-capabilities": { help: "print what libvirt asks for, as JSON, and end" },
    help: { letter: "h", help: "print this text and end" },
    version: { letter: "V", help: "print the version and end" },
  },
  "For command lines written for older daemons": {
    o: {
      value: "LIST",
      letter: "o",
      perDevice: true,
      help: "options of the C virtiofsd, such as -o source=DIR,cache=none",
    },
    d: { letter: "d", help: "the same as --log-level debug" },
    f: { letter: "f", help: "stay in the foreground, as kata-fsd always does" },
    socket: { value: "PATH", perDevice: true, help: "the same as --socket-path" },
  },
  Refused: {
    "migration-mode": { value: "MODE", refused: MIGRATION, help: "" },
    "migration-on-error": { value: "ACTION", refused: MIGRATION, help: "" },
    "migration-verify-handles": { refused: MIGRATION, help: "" },
    "migration-confirm-paths": { refused: MIGRATION, help: "" },
    "uid-map": { value: "MAP", refused: USER_NAMESPACE, help: "" },
    "gid-map": { value: "MAP", refused: USER_NAMESPACE, help: "" },
    daemonize: {
      refused: "start it in the background by the means of your shell or service manager",
      help: "",
    },
  },
} as const satisfies Record<string, Record<string, Flag>>;

type Sections = typeof SECTIONS;
/** The name of an option, without dashes. */
export type FlagName = { [S in keyof Sections]: keyof Sections[S] }[keyof Sections] & string;

/** All options by their names. */
export const FLAGS: Readonly<Record<FlagName, Flag>> = Object.assign({}, ...Object.values(SECTIONS));
