/** What has happened on the host. */
export type HostEventKind = "create" | "remove" | "rename" | "modify" | "close-write" | "attrib";

/**
 * A change in a shared directory that did not come from the guest, for those in the guest that wait for it. Paths and names have one character
 * for each byte: they are not always UTF-8.
 */
export interface HostEvent {
  /** The device's tag. */
  readonly device: string;
  readonly kind: HostEventKind;
  /** Path of the directory below the shared one, and its node id in hexadecimal. */
  readonly directory: string;
  readonly node: string;
  /** What it happened to. "" where it is about the directory itself, and in a rename that leads out of it. */
  readonly name: string;
  /** Of a rename: the name before, "" if it came from another directory. */
  readonly oldName: string;
  /** S_IFREG and so on. */
  readonly type: number;
  /** Whether the guest may remember what was there before, for longer than it may at other times: it has to be taken back. */
  readonly isKept: boolean;
}
