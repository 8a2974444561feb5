import fc from "fast-check";
import { O_EXCL, O_RDWR, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../../lib/sys/file.js";
import { Opcode } from "../fuse/constants.js";
import { cstring, type Entry, ROOT, readEntry, type TestGuest, u32, u64 } from "./test-guest.js";

type Kind = "directory" | "file";
type Action =
  | "mkdir"
  | "create"
  | "unlink"
  | "rmdir"
  | "link"
  | "append"
  | "setxattr"
  | "removexattr"
  | "list";
const ACTIONS: readonly Action[] = [
  ...(["mkdir", "create", "unlink", "rmdir", "link", "append", "setxattr", "removexattr", "list"] as const),
];
const XATTR = "user.once";
const XATTR_CREATE = 1;

interface Node {
  readonly kind: Kind;
  text: string;
  hasAttribute: boolean;
}

/** One thing that a guest does. */
export type Step =
  | { readonly what: Action; readonly name: string; readonly other: string }
  | { readonly what: "rename"; readonly name: string; readonly other: string; readonly flags: number };

const name = fc.constantFrom("a", "b", "c", "d");
/** Steps that are not the same when they are done twice. */
export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constantFrom(...ACTIONS), name, other: name }),
  fc.record({
    what: fc.constant("rename" as const),
    name,
    other: name,
    flags: fc.constantFrom(0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE),
  }),
);

/** What a directory must be like after what a guest has done in it, and what each request must have been answered. */
export class NameModel {
  readonly #nodes = new Map<string, Node>();
  /** References that the guest holds, by node id. */
  readonly lookups = new Map<bigint, number>();

  constructor(private readonly guest: TestGuest) {}

  /** Does a step. @returns what the daemon says, and what it must say: the names of errnos, or "" */
  take(step: Step): { readonly said: string; readonly due: string } {
    const node = this.#nodes.get(step.name);
    const other = this.#nodes.get(step.other);
    switch (step.what) {
      case "mkdir":
      case "create": {
        const said = this.#make(step.what, step.name);
        if (node !== undefined) return { said, due: "EEXIST" };
        const kind = step.what === "mkdir" ? "directory" : "file";
        this.#nodes.set(step.name, { kind, text: "", hasAttribute: false });
        return { said, due: "" };
      }
      case "unlink":
      case "rmdir": {
        const isUnlink = step.what === "unlink";
        const opcode = isUnlink ? Opcode.UNLINK : Opcode.RMDIR;
        const said = this.guest.send(opcode, ROOT, [cstring(step.name)]).error;
        if (node === undefined) return { said, due: "ENOENT" };
        if (isUnlink !== (node.kind === "file")) return { said, due: isUnlink ? "EISDIR" : "ENOTDIR" };
        this.#nodes.delete(step.name);
        return { said, due: "" };
      }
      case "link": {
        if (node?.kind !== "file") return { said: "", due: "" };
        const { nodeId } = this.#lookup(step.name);
        const { error, body } = this.guest.send(Opcode.LINK, ROOT, [u64(nodeId), cstring(step.other)]);
        if (error === "") this.#count(readEntry(body));
        if (other !== undefined) return { said: error, due: "EEXIST" };
        this.#nodes.set(step.other, node);
        return { said: error, due: "" };
      }
      case "append": {
        if (node?.kind !== "file") return { said: "", due: "" };
        const { nodeId } = this.#lookup(step.name);
        const fh = this.guest.open(nodeId, O_RDWR);
        const { error } = this.guest.write(nodeId, fh, node.text.length, Buffer.from(step.other));
        node.text += step.other;
        const read = this.guest.read(nodeId, fh, 0, 4096).toString();
        this.guest.release(nodeId, fh);
        return { said: `${error} ${read}`, due: ` ${node.text}` };
      }
      case "setxattr": {
        if (node === undefined) return { said: "", due: "" };
        const { nodeId } = this.#lookup(step.name);
        const parts = [u32(1, XATTR_CREATE), cstring(XATTR), Buffer.from("x")];
        const said = this.guest.send(Opcode.SETXATTR, nodeId, parts).error;
        const due = node.hasAttribute ? "EEXIST" : "";
        node.hasAttribute = true;
        return { said, due };
      }
      case "removexattr": {
        if (node === undefined) return { said: "", due: "" };
        const { nodeId } = this.#lookup(step.name);
        const said = this.guest.send(Opcode.REMOVEXATTR, nodeId, [cstring(XATTR)]).error;
        const due = node.hasAttribute ? "" : "ENODATA";
        node.hasAttribute = false;
        return { said, due };
      }
      case "list": {
        const names = this.guest.list(ROOT).map((entry) => entry.name);
        const said = names.filter((each) => each !== "." && each !== "..").sort();
        return { said: said.join(), due: [...this.#nodes.keys()].sort().join() };
      }
      case "rename":
        return this.#rename(step, node, other);
    }
  }

  #rename(
    { name, other: newName, flags }: { name: string; other: string; flags: number },
    node: Node | undefined,
    other: Node | undefined,
  ): { said: string; due: string } {
    const parts = [u64(ROOT), u32(flags, 0), cstring(name), cstring(newName)];
    const said = this.guest.send(Opcode.RENAME2, ROOT, parts).error;
    if (node === undefined) return { said, due: "ENOENT" };
    if (flags === RENAME_EXCHANGE) {
      if (other === undefined) return { said, due: "ENOENT" };
      this.#nodes.set(name, other);
      this.#nodes.set(newName, node);
      return { said, due: "" };
    }
    if (other !== undefined) {
      if (flags === RENAME_NOREPLACE) return { said, due: "EEXIST" };
      if (other === node) return { said, due: "" };
      if (other.kind !== node.kind) return { said, due: node.kind === "file" ? "EISDIR" : "ENOTDIR" };
    }
    this.#nodes.delete(name);
    this.#nodes.set(newName, node);
    return { said, due: "" };
  }

  #make(what: "mkdir" | "create", name: string): string {
    if (what === "mkdir") {
      const { error, body } = this.guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring(name)]);
      if (error === "") this.#count(readEntry(body));
      return error;
    }
    const parts = [u32(O_EXCL | O_RDWR, 0o644, 0, 0), cstring(name)];
    const { error, body } = this.guest.send(Opcode.CREATE, ROOT, parts);
    if (error !== "") return error;
    const entry = readEntry(body);
    this.#count(entry);
    this.guest.release(entry.nodeId, body.readBigUInt64LE(128));
    return "";
  }

  #lookup(name: string): Entry {
    const entry = this.guest.lookup(ROOT, name);
    this.#count(entry);
    return entry;
  }

  #count({ nodeId }: Entry): void {
    this.lookups.set(nodeId, (this.lookups.get(nodeId) ?? 0) + 1);
  }
}
