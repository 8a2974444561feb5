import { createHash } from "node:crypto";

/** Size of the file that the demonstration reads: well above what a page cache grows by for other reasons. */
export const SAMPLE_BYTES = 160 * 2 ** 20;

const CHUNK_BYTES = 2 ** 20;

/** Its size where nobody looks at it. */
export const SMALL_SAMPLE_BYTES = 2 ** 20;

/**
 * The sample file of `sizeBytes`, a mebibyte at a time. No two pages are alike and none is zero, so that neither sparse files nor merged
 * pages can pass for a read; every run makes the same bytes.
 */
export function* sampleChunks(sizeBytes: number): Generator<Buffer> {
  const pattern = Buffer.alloc(CHUNK_BYTES);
  for (let offset = 0; offset < CHUNK_BYTES; offset += 32) {
    createHash("sha256").update(`kata-fs ${offset}`).digest().copy(pattern, offset);
  }
  for (let position = 0; position < sizeBytes; position += CHUNK_BYTES) {
    const chunk = Buffer.from(pattern);
    for (let page = 0; page < CHUNK_BYTES; page += 4096)
      chunk.writeBigUInt64LE(BigInt(position + page), page);
    yield chunk;
  }
}
