/** Is told which inodes the guest knows. */
export interface InodeObserver {
  /** `parent` is the directory in which it was found. It may be told again of what it knows. */
  entered(slot: number, parent: number): void;
  left(slot: number): void;
  /** All have left. */
  cleared(): void;
  /**
   * Whether the guest may remember longer than usual what is in the directory, because a change would be taken back; asked when an answer is
   * given that says so.
   */
  isQuiet(directory: number): boolean;
}
