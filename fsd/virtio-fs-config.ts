/** Longest tag: the field has no room for a NUL behind it then (virtio 1.3, 5.11.4). */
export const TAG_BYTES_MAX = 36;
const CONFIG_BYTES = 44;

/** How many queues a virtio-fs device has: the one for high priority first, then those for requests. */
export function virtioFsQueues(requestQueues: number): number {
  return 1 + requestQueues;
}

/** struct virtio_fs_config: u8 tag[36], u32 number of request queues, u32 size of notification buffers. */
export function virtioFsConfig(tag: string, requestQueues: number): Uint8Array {
  const lengthBytes = Buffer.byteLength(tag);
  if (lengthBytes === 0 || lengthBytes > TAG_BYTES_MAX) {
    throw new RangeError(`the tag "${tag}" has ${lengthBytes} bytes; 1 to ${TAG_BYTES_MAX} are possible`);
  }
  const config = Buffer.alloc(CONFIG_BYTES);
  config.write(tag, 0);
  config.writeUInt32LE(requestQueues, TAG_BYTES_MAX);
  return config;
}
