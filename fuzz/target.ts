/** Code under test, and how an input drives it. */
export interface FuzzTarget {
  readonly name: string;
  /** Which source files count for coverage, by their paths from the repository's root. */
  readonly covers: RegExp;
  /**
   * Does what the input says, from the same state each time.
   * @returns how many messages, chains, requests or packets the code under test was given
   * @throws whatever an invariant that does not hold throws
   */
  run(input: Uint8Array): number | Promise<number>;
  close(): void;
}

export type CreateTarget = () => FuzzTarget;
