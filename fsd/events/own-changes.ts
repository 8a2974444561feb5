/**
 * What the daemon has changed for the guest since inotify was read last. Its system calls put their events into the queue before they return,
 * so that all of these, and nothing older, wait there: an event that is noted here is the guest's own. What a call changes that is under
 * way on another thread counts until that has been answered, and hides what the host does to the same file meanwhile.
 */
export class OwnChanges {
  readonly #names = new Set<string>();
  readonly #inodes = new Set<number>();
  /** Of each inode the calls under way. */
  readonly #underWay = new Map<number, number>();

  /** An entry of the directory in that slot. */
  name(directory: number, name: string): void {
    this.#names.add(`${directory}/${name}`);
  }

  /** Content or attributes of the inode in that slot. */
  inode(slot: number): void {
    this.#inodes.add(slot);
  }

  /** A change of the inode begins that another thread makes. */
  begin(slot: number): void {
    this.#underWay.set(slot, (this.#underWay.get(slot) ?? 0) + 1);
  }

  /** It has ended; what is known of it may come from a time before {@link reset}. */
  end(slot: number): void {
    const count = this.#underWay.get(slot) ?? 0;
    if (count > 1) this.#underWay.set(slot, count - 1);
    else this.#underWay.delete(slot);
    this.inode(slot);
  }

  hasName(directory: number, name: string): boolean {
    return this.#names.has(`${directory}/${name}`);
  }

  hasInode(slot: number): boolean {
    return this.#inodes.has(slot) || this.#underWay.has(slot);
  }

  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#inodes.size === 0;
  }

  /** inotify was read. */
  clear(): void {
    this.#names.clear();
    this.#inodes.clear();
  }

  /** The guest knows no inode any more. */
  reset(): void {
    this.clear();
    this.#underWay.clear();
  }
}
