import { OPCODE_LIMIT, Opcode } from "./fuse/constants.js";

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
  /** Watches of inotify; events that it told; and those of them that were no changes of the guest's own. */
  hostWatches: number;
  hostEvents: number;
  hostEventsTold: number;
  /** Ranges of the DAX window: mapped now, mapped ever, taken away ever; and their bytes. */
  daxMapsLive: number;
  daxMapsTotal: number;
  daxUnmapsTotal: number;
  daxLiveBytes: number;
  daxMappedBytesTotal: number;
  /** SETUPMAPPING requests that were refused. */
  daxMapFailures: number;
}

export function createFsdMetrics(): FsdMetrics {
  return {
    requestsByOpcode: new Float64Array(OPCODE_LIMIT),
    errors: 0,
    readBytes: 0,
    writtenBytes: 0,
    inodesLive: 0,
    handlesLive: 0,
    hostWatches: 0,
    hostEvents: 0,
    hostEventsTold: 0,
    daxMapsLive: 0,
    daxMapsTotal: 0,
    daxUnmapsTotal: 0,
    daxLiveBytes: 0,
    daxMappedBytesTotal: 0,
    daxMapFailures: 0,
  };
}

/** One device in the document that kata-fsd's metrics socket answers with. */
export interface DeviceMetricsReport {
  readonly tag: string;
  /** Requests by kernel name, such as "FUSE_READ"; those that never came are left out. */
  readonly requests: Readonly<Record<string, number>>;
  readonly errors: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly inodes: number;
  readonly handles: number;
  readonly host: { readonly watches: number; readonly events: number; readonly eventsTold: number };
  readonly dax: {
    readonly windowBytes: number;
    /** Ever, as are `mappedBytes` and `unmappedRanges`. */
    readonly mappedRanges: number;
    readonly mappedBytes: number;
    readonly unmappedRanges: number;
    readonly liveRanges: number;
    readonly liveBytes: number;
    readonly failedMaps: number;
  };
}

/** @param windowBytes length of the device's DAX window, 0 without one */
export function reportDeviceMetrics(
  tag: string,
  windowBytes: number,
  metrics: FsdMetrics,
): DeviceMetricsReport {
  const named = Object.entries(Opcode).map(([name, opcode]): [string, number] => [
    `FUSE_${name}`,
    metrics.requestsByOpcode[opcode] ?? 0,
  ]);
  return {
    tag,
    requests: Object.fromEntries(named.filter(([, count]) => count > 0)),
    errors: metrics.errors,
    readBytes: metrics.readBytes,
    writeBytes: metrics.writtenBytes,
    inodes: metrics.inodesLive,
    handles: metrics.handlesLive,
    host: {
      watches: metrics.hostWatches,
      events: metrics.hostEvents,
      eventsTold: metrics.hostEventsTold,
    },
    dax: {
      windowBytes,
      mappedRanges: metrics.daxMapsTotal,
      mappedBytes: metrics.daxMappedBytesTotal,
      unmappedRanges: metrics.daxUnmapsTotal,
      liveRanges: metrics.daxMapsLive,
      liveBytes: metrics.daxLiveBytes,
      failedMaps: metrics.daxMapFailures,
    },
  };
}
