import { O_TRUNC } from "../../lib/sys/file.js";
import { ATTR_BYTES, FUSE_ATTR_SUBMOUNT, IN_HEADER_BYTES, OPCODE_LIMIT, Opcode } from "../fuse/constants.js";
import { ATTR_FLAGS_OFFSET } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { InodePolicies } from "./inode-policies.js";
import type { InodeTable } from "./inode-table.js";

/** Inodes and names that are remembered; each has one place, which the next one with that place takes. */
const PLACES = 1024;
/** Longer names are not remembered. */
const NAME_BYTES = 48;
/** In place of an epoch: on an immutable export nothing ever changes. */
const FOR_EVER = 0;
/** Of {@link RememberedAnswers.childOf}. */
export const NOT_REMEMBERED = -1;

/** What requests do to answers that were given: of an opcode that is not in {@link EFFECTS} anything may be changed. */
const CHANGES = 0;
const IS_HARMLESS = 1;
/** Changes the time of the last access of the inode in the header. */
const TOUCHES = 2;

const EFFECTS = new Uint8Array(OPCODE_LIMIT);
for (const opcode of [
  ...[Opcode.LOOKUP, Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.GETATTR, Opcode.STATX, Opcode.STATFS],
  ...[Opcode.RELEASE, Opcode.FLUSH, Opcode.OPENDIR, Opcode.RELEASEDIR, Opcode.ACCESS, Opcode.LSEEK],
  ...[Opcode.GETXATTR, Opcode.LISTXATTR, Opcode.GETLK, Opcode.SETLK, Opcode.SETLKW],
  ...[Opcode.SETUPMAPPING, Opcode.REMOVEMAPPING],
]) {
  EFFECTS[opcode] = IS_HARMLESS;
}
for (const opcode of [Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS, Opcode.READLINK])
  EFFECTS[opcode] = TOUCHES;

const OPEN_FLAGS = IN_HEADER_BYTES;

/**
 * Attributes and names that need not be looked at again, for GETATTR and LOOKUP without a system call: on exports that nobody changes, or this
 * guest alone, where the guest itself may remember them without limit. There each change comes by a request, and any change makes all that was
 * answered before void. What a guest does not know any more it asks for again when it was short of memory; inodes that it has forgotten are
 * not remembered either, since another slot or sequence is theirs then.
 */
export class RememberedAnswers {
  readonly #attrSlots = new Uint32Array(PLACES);
  readonly #attrSequences = new Uint32Array(PLACES);
  readonly #attrEpochs = new Uint32Array(PLACES);
  /** `struct fuse_attr` of each. */
  readonly #attrs = new Uint8Array(PLACES * ATTR_BYTES);

  readonly #parents = new Uint32Array(PLACES);
  readonly #parentSequences = new Uint32Array(PLACES);
  /** 0 for a name that is missing. */
  readonly #children = new Uint32Array(PLACES);
  readonly #childSequences = new Uint32Array(PLACES);
  readonly #nameEpochs = new Uint32Array(PLACES);
  readonly #nameLengths = new Uint8Array(PLACES);
  readonly #names = new Uint8Array(PLACES * NAME_BYTES);
  #epoch = 1;

  /** @param isQuiet whether no system call is under way on another thread: what it changes is seen sooner or later */
  constructor(
    private readonly inodes: InodeTable,
    private readonly policies: InodePolicies,
    private readonly isQuiet: () => boolean,
  ) {}

  /** To be called before each request is served: what it may change is not remembered any more. */
  beforeRequest(request: FuseRequest): void {
    const { opcode } = request;
    const effect = EFFECTS[opcode] ?? CHANGES;
    if (effect === IS_HARMLESS) return;
    if (effect === TOUCHES) {
      this.#touched(this.inodes.slotOf(request.nodeIdLow, request.nodeIdHigh));
      return;
    }
    if (opcode === Opcode.OPEN && (request.uint32(OPEN_FLAGS) & O_TRUNC) === 0) return;
    this.#epoch = this.#epoch === 0xffff_ffff ? 1 : this.#epoch + 1;
  }

  /** Nothing is remembered any more. */
  clear(): void {
    this.#attrSlots.fill(0);
    this.#parents.fill(0);
  }

  /** Writes the inode's `struct fuse_attr`. @returns false if it is not remembered */
  writeAttr(slot: number, target: Uint8Array, offset: number): boolean {
    const place = slot % PLACES;
    if (
      this.#attrSlots[place] !== slot ||
      this.#attrSequences[place] !== this.inodes.sequence(slot) ||
      !this.#isValid(this.#attrEpochs[place])
    ) {
      return false;
    }
    copy(this.#attrs, place * ATTR_BYTES, target, offset, ATTR_BYTES);
    return true;
  }

  /** Remembers an answer to GETATTR or LOOKUP: `struct fuse_attr` of the inode at `offset`. */
  noteAttr(slot: number, source: Uint8Array, offset: number): void {
    const epoch = this.#epochFor(slot);
    if (epoch < 0) return;
    const place = slot % PLACES;
    this.#attrSlots[place] = slot;
    this.#attrSequences[place] = this.inodes.sequence(slot);
    this.#attrEpochs[place] = epoch;
    copy(source, offset, this.#attrs, place * ATTR_BYTES, ATTR_BYTES);
    // Says something of a name, which the inode may have others than.
    const flags = place * ATTR_BYTES + ATTR_FLAGS_OFFSET;
    this.#attrs[flags] = (this.#attrs[flags] ?? 0) & ~FUSE_ATTR_SUBMOUNT;
  }

  /** @returns the slot of what has the name in the directory, 0 if nothing has, {@link NOT_REMEMBERED} if that is not known */
  childOf(parent: number, { bytes, nameOffset, nameEnd }: FuseRequest): number {
    const length = nameEnd - 1 - nameOffset;
    if (length > NAME_BYTES) return NOT_REMEMBERED;
    const place = placeOf(parent, bytes, nameOffset, length);
    if (
      this.#parents[place] !== parent ||
      this.#parentSequences[place] !== this.inodes.sequence(parent) ||
      this.#nameLengths[place] !== length ||
      !this.#isValid(this.#nameEpochs[place])
    ) {
      return NOT_REMEMBERED;
    }
    const name = place * NAME_BYTES;
    for (let index = 0; index < length; index++) {
      if (this.#names[name + index] !== bytes[nameOffset + index]) return NOT_REMEMBERED;
    }
    const child = this.#children[place] ?? 0;
    if (child === 0) return 0;
    // The guest may have forgotten it, and its slot may have gone to another one.
    return this.inodes.slotOf(child, this.#childSequences[place] ?? 0) === child ? child : NOT_REMEMBERED;
  }

  /** Remembers an answer to LOOKUP. @param child 0 for a name that is missing */
  noteName(parent: number, { bytes, nameOffset, nameEnd }: FuseRequest, child: number): void {
    const length = nameEnd - 1 - nameOffset;
    const epoch = this.#epochFor(parent);
    if (epoch < 0 || length > NAME_BYTES) return;
    const place = placeOf(parent, bytes, nameOffset, length);
    this.#parents[place] = parent;
    this.#parentSequences[place] = this.inodes.sequence(parent);
    this.#children[place] = child;
    this.#childSequences[place] = child === 0 ? 0 : this.inodes.sequence(child);
    this.#nameEpochs[place] = epoch;
    this.#nameLengths[place] = length;
    copy(bytes, nameOffset, this.#names, place * NAME_BYTES, length);
  }

  #touched(slot: number): void {
    const place = slot % PLACES;
    if (slot !== 0 && this.#attrSlots[place] === slot && this.#attrEpochs[place] !== FOR_EVER)
      this.#attrSlots[place] = 0;
  }

  /** How long something of the inode may be remembered, or -1 if it may not. */
  #epochFor(slot: number): number {
    const { isRemembered, isImmutable } = this.policies.of(slot);
    if (!isRemembered) return -1;
    if (isImmutable) return FOR_EVER;
    return this.isQuiet() ? this.#epoch : -1;
  }

  #isValid(epoch: number | undefined): boolean {
    return epoch === FOR_EVER || epoch === this.#epoch;
  }
}

function placeOf(parent: number, bytes: Uint8Array, offset: number, length: number): number {
  let hash = Math.imul(parent, 0x9e3779b1);
  for (let index = offset; index < offset + length; index++) {
    hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}

function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  for (let index = 0; index < length; index++) to[toOffset + index] = from[fromOffset + index] ?? 0;
}
