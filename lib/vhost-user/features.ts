import type { VhostUserDeviceModel } from "./device-model.js";
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VhostUserProtocolFeature,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from "./message.js";

/** The bit of that number in a mask of features. */
export const bit = (number: number) => 1n << BigInt(number);

/** What is offered to the guest's driver, and to the front end. */
export function offeredFeatures(model: VhostUserDeviceModel): bigint {
  return (
    model.features |
    bit(VIRTIO_F_VERSION_1) |
    bit(VIRTIO_RING_F_INDIRECT_DESC) |
    bit(VIRTIO_RING_F_EVENT_IDX) |
    bit(VHOST_USER_F_PROTOCOL_FEATURES)
  );
}

/** What is offered to the front end of the protocol itself. */
export function offeredProtocolFeatures(model: VhostUserDeviceModel): bigint {
  const feature = VhostUserProtocolFeature;
  const always = [feature.MQ, feature.RESET_DEVICE, feature.CONFIGURE_MEM_SLOTS];
  const configuring = model.config.length > 0 ? [feature.CONFIG] : [];
  const acknowledging = model.acknowledges ? [feature.REPLY_ACK] : [];
  const sharing =
    model.shmemSizesBytes.length > 0 ? [feature.BACKEND_REQ, feature.BACKEND_SEND_FD, feature.SHMEM_MAP] : [];
  const offered = [...always, ...configuring, ...acknowledging, ...sharing];
  return offered.reduce((bits, number) => bits | bit(number), 0n);
}
