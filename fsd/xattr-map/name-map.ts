/** What becomes of the name of an extended attribute. */
export const Verdict = {
  /** It is the same on both sides. */
  pass: 0,
  /** It has another name on the other side. */
  renamed: 1,
  /** The guest must not use it; to the guest it does not exist. */
  denied: 2,
  /** To the guest the file system does not know this kind of attribute. */
  unsupported: 3,
  /** The mark of an opaque directory of an overlay, which has a way of its own: see overlay-names.ts. */
  opaque: 4,
  /** Setting it succeeds and leaves nothing; it is never found. */
  forgotten: 5,
} as const;

export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** A rule for names that the guest uses. */
export interface ClientRule {
  /** How the name begins, or with `exact` all of it. */
  readonly match: Uint8Array;
  readonly exact?: boolean;
  readonly verdict: Verdict;
  /** With {@link Verdict.renamed}: what is put before the name. */
  readonly prepend?: Uint8Array;
}

/** A rule for names that the host lists. */
export interface ServerRule {
  readonly match: Uint8Array;
  readonly exact?: boolean;
  /** "show" it without its first `strip` bytes, or "hide" it. */
  readonly show: boolean;
  readonly strip?: number;
}

/** Longest name of an extended attribute on Linux, in bytes. */
export const XATTR_NAME_MAX = 255;

/**
 * Translates names of extended attributes between guest and host, by the first rule that matches on either side. A name that
 * no rule matches is unsupported, or hidden. Works on bytes in place and allocates nothing.
 */
export class NameMap {
  /** The host's name after {@link Verdict.renamed}, NUL-terminated. */
  readonly renamed = new Uint8Array(2 * XATTR_NAME_MAX + 2);
  /** Length of {@link renamed} without its NUL. It may be more than {@link XATTR_NAME_MAX}: no host has such a name. */
  renamedLength = 0;

  constructor(
    private readonly clientRules: readonly ClientRule[],
    private readonly serverRules: readonly ServerRule[],
  ) {
    for (const { prepend } of clientRules) {
      if (prepend !== undefined && prepend.length > XATTR_NAME_MAX)
        throw new RangeError(`a prefix of ${prepend.length} bytes for names of at most ${XATTR_NAME_MAX}`);
    }
  }

  /** Every name is the same on both sides. */
  static identity(): NameMap {
    const match = new Uint8Array(0);
    return new NameMap([{ match, verdict: Verdict.pass }], [{ match, show: true }]);
  }

  /** What becomes of the name that the guest gave: `length` bytes of `bytes`, at most {@link XATTR_NAME_MAX}. */
  toHost(bytes: Uint8Array, offset: number, length: number): Verdict {
    for (const rule of this.clientRules) {
      if (!matches(rule, bytes, offset, length)) continue;
      if (rule.verdict !== Verdict.renamed) return rule.verdict;
      const prefix = rule.prepend ?? NOTHING;
      this.renamed.set(prefix);
      this.renamed.set(bytes.subarray(offset, offset + length), prefix.length);
      this.renamedLength = prefix.length + length;
      this.renamed[this.renamedLength] = 0;
      return Verdict.renamed;
    }
    return Verdict.unsupported;
  }

  /**
   * Makes a list of the host's names into the guest's, in place.
   * @param length bytes of the list: names, each with a NUL behind it @returns bytes of the guest's list
   */
  listToGuest(bytes: Uint8Array, offset: number, length: number): number {
    const end = offset + length;
    let written = offset;
    for (let at = offset; at < end; ) {
      const nul = bytes.indexOf(0, at);
      const nameEnd = nul < 0 || nul >= end ? end : nul;
      const strip = this.#stripped(bytes, at, nameEnd - at);
      // A name that would be empty is none: a list with it in it is damaged to the guest's kernel.
      if (strip >= 0 && strip < nameEnd - at && nameEnd < end) {
        bytes.copyWithin(written, at + strip, nameEnd + 1);
        written += nameEnd + 1 - at - strip;
      }
      at = nameEnd + 1;
    }
    return written - offset;
  }

  /** How many bytes of the host's name the guest does not see, or -1 if it sees none of it. */
  #stripped(bytes: Uint8Array, offset: number, length: number): number {
    for (const rule of this.serverRules) {
      if (matches(rule, bytes, offset, length)) return rule.show ? (rule.strip ?? 0) : -1;
    }
    return -1;
  }
}

const NOTHING = new Uint8Array(0);

function matches(rule: ClientRule | ServerRule, bytes: Uint8Array, offset: number, length: number): boolean {
  const { match } = rule;
  if (rule.exact === true ? match.length !== length : match.length > length) return false;
  for (let index = 0; index < match.length; index++) {
    if (match[index] !== bytes[offset + index]) return false;
  }
  return true;
}
