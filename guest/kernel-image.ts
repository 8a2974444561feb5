/** Offsets in the header of an x86 boot image (Linux: Documentation/arch/x86/boot.rst). */
const SETUP_SECTS = 0x1f1;
const MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_BYTES = 0x250;

/** "HdrS" */
const MAGIC_VALUE = 0x53726448;
const SECTOR_BYTES = 512;
const ZSTD_MAGIC = 0xfd2fb528;
/** The build appends the length of what is compressed to the compressed bytes. */
const LENGTH_BYTES = 4;

/**
 * The kernel proper within a boot image (bzImage), if it is one zstd frame, which decompresses to an ELF file that QEMU starts
 * at its PVH entry. Under emulation that saves a second: there the kernel's own decompressor is slow.
 *
 * @returns undefined for an image of another kind
 */
export function zstdPayload(image: Buffer): Buffer | undefined {
  if (image.length < HEADER_BYTES || image.readUInt32LE(MAGIC) !== MAGIC_VALUE) return undefined;
  const start = (image.readUInt8(SETUP_SECTS) + 1) * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + image.readUInt32LE(PAYLOAD_LENGTH) - LENGTH_BYTES;
  if (end > image.length || end - start < LENGTH_BYTES) return undefined;
  const payload = image.subarray(start, end);
  return payload.readUInt32LE(0) === ZSTD_MAGIC ? payload : undefined;
}
