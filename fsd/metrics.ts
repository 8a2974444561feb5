/** Opcodes below this number are counted one by one; the few above it are CUSE's and never served. */
const COUNTED_OPCODES = 64;

/**
 * What one device of kata-fsd has done since it started. Plain numbers, written by the FUSE server as it works and read by
 * whoever exports them; nothing here is reset when the guest mounts again.
 */
export interface FsdMetrics {
  /** Requests taken, by FUSE opcode. */
  readonly requestsByOpcode: Float64Array;
  /** Requests answered with an error, ENOENT of a LOOKUP included. */
  errors: number;
  /** Bytes answered to READ, and taken from WRITE. DAX traffic does not pass the daemon and is not in here. */
  readBytes: number;
  writtenBytes: number;
  /** Inodes known to the guest, and open file and directory handles. */
  inodesLive: number;
  handlesLive: number;
  /** Ranges of the DAX window: mapped now, mapped ever, taken away ever. */
  daxMapsLive: number;
  daxMapsTotal: number;
  daxUnmapsTotal: number;
  /** Bytes of the window that are mapped now, and the most there ever were. */
  daxMappedBytes: number;
  daxMappedBytesPeak: number;
  /** SETUPMAPPING requests that were refused. */
  daxMapFailures: number;
}

export function createFsdMetrics(): FsdMetrics {
  return {
    requestsByOpcode: new Float64Array(COUNTED_OPCODES),
    errors: 0,
    readBytes: 0,
    writtenBytes: 0,
    inodesLive: 0,
    handlesLive: 0,
    daxMapsLive: 0,
    daxMapsTotal: 0,
    daxUnmapsTotal: 0,
    daxMappedBytes: 0,
    daxMappedBytesPeak: 0,
    daxMapFailures: 0,
  };
}
