/**
 * What the daemon has changed for the guest since inotify was read last. Its system calls put their events into the queue before they return,
 * so that all of these, and nothing older, wait there: an event that is noted here is the guest's own.
 */
export class OwnChanges {
  readonly #names = new Set<string>();
  readonly #inodes = new Set<number>();

  /** An entry of the directory in that slot. */
  name(directory: number, name: string): void {
    this.#names.add(`${directory}/${name}`);
  }

  /** Content or attributes of the inode in that slot. */
  inode(slot: number): void {
    this.#inodes.add(slot);
  }

  hasName(directory: number, name: string): boolean {
    return this.#names.has(`${directory}/${name}`);
  }

  hasInode(slot: number): boolean {
    return this.#inodes.has(slot);
  }

  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#inodes.size === 0;
  }

  clear(): void {
    this.#names.clear();
    this.#inodes.clear();
  }
}
