/**
 * Inode numbers as the guest sees them. The guest has one file system where the host has several, so the index of the host's
 * file system goes into the upper 16 bits; the first one's numbers stay as they are. Numbers of more than 48 bits (rare: file systems
 * that put something else into the upper bits themselves) are folded.
 */
const INODE_HIGH_BITS = 0xffff;

/** High half of the guest's number, for the host's number and the index of its file system. */
export function guestInodeHigh(inodeHigh: number, device: number): number {
  const high =
    inodeHigh <= INODE_HIGH_BITS ? inodeHigh : ((inodeHigh ^ (inodeHigh >>> 16)) & 0x7fff) | 0x8000;
  return (high | (device << 16)) >>> 0;
}
