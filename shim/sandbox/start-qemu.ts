import { openSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "../../configs/index.js";
import { hasErrno } from "../../lib/sys/errno.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import { guestLog } from "../log/guest-log.js";
import type { Logger } from "../log/logger.js";
import type { Accelerator } from "../vm/accelerator.js";
import type { VmSize } from "../vm/description.js";
import { InheritedDescriptors } from "../vm/inherited-descriptors.js";
import { QemuError, QemuProcess } from "../vm/qemu-process.js";
import { asUser, takeQemuUser } from "../vm/qemu-user.js";
import { timeStampCounterKhz } from "../vm/time-stamp-counter.js";
import { endingWithUs } from "./child.js";
import { imageOf, isDirectoryGuest } from "./guest-os.js";
import { kernelParameters } from "./kernel-parameters.js";
import { type SandboxLayout, STATE_DIRECTORY, Tags } from "./layout.js";
import type { PodNetwork } from "./network/pod-network.js";
import type { UndoStack } from "./undo-stack.js";

const VHOST_NET = "/dev/vhost-net";

/** Which user ids QEMU processes of this host have. */
const USER_LOCKS = join(STATE_DIRECTORY, ".qemu-users");

export interface QemuOptions {
  readonly id: string;
  readonly configuration: Configuration;
  readonly accelerator: Accelerator;
  readonly size: VmSize;
  readonly largest: VmSize;
  readonly layout: SandboxLayout;
  readonly network: PodNetwork;
  readonly logger: Logger;
}

/**
 * Starts a sandbox's QEMU, whose back ends must be listening.
 *
 * @throws ShimError
 */
export async function startQemu(options: QemuOptions, undo: UndoStack): Promise<QemuProcess> {
  const { configuration, accelerator, layout, network, logger } = options;
  const { hypervisor, guest, daemon } = configuration;
  const { kernel, firmware } = hypervisor;
  const { dax } = daemon;
  const user = takeUser(hypervisor, undo);
  // A process that changes its user loses the signal of its parent's end: the change comes first.
  const argv = [...(user === undefined ? [] : asUser(user, accelerator)), ...endingWithUs(hypervisor.argv)];
  const inherited = new InheritedDescriptors();
  try {
    const qemu = await QemuProcess.start(
      { argv, env: hypervisor.env },
      {
        name: options.id,
        ...{ accelerator, size: options.size, largest: options.largest, kernel, firmware },
        kernelParameters: kernelParameters(configuration, accelerator, timeStampCounterKhz()),
        initrd: guest.initrd,
        image: imageOf(guest, inherited),
        fileSystems: [
          ...(isDirectoryGuest(guest)
            ? [{ socketFd: inherited.connect(layout.guestSocket), tag: Tags.guest, dax }]
            : []),
          // A page that the host takes away while it is mapped would end QEMU.
          { socketFd: inherited.connect(layout.sharedSocket), tag: Tags.shared, dax: false },
          { socketFd: inherited.connect(layout.ownSocket), tag: Tags.own, dax },
        ],
        networkCards: network.takeCards().map(({ tapFd, mac }) => ({
          tapFd: inherited.adopt(tapFd),
          vhostFd: openVhostNet(inherited),
          mac,
        })),
        canPlugDisks: hypervisor.hotPlug,
        vsockSocketFd: inherited.connect(layout.vsockDeviceSocket),
      },
      inherited,
      {
        event: ({ name, data }) => logger.debug(`QEMU event ${name}`, { data: JSON.stringify(data) }),
        consoleLine: guestLog(logger),
      },
      network.namespace,
    );
    undo.add("QEMU", () => qemu.kill());
    return qemu;
  } catch (error) {
    if (!(error instanceof QemuError)) throw error;
    throw new ShimError(StatusCode.UNAVAILABLE, error.message, { cause: error });
  } finally {
    inherited.close();
  }
}

/** @returns its number in QEMU; undefined where the host's kernel has no vhost-net */
function openVhostNet(inherited: InheritedDescriptors): number | undefined {
  try {
    return inherited.adopt(openSync(VHOST_NET, "r+"));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO")) return undefined;
    throw error;
  }
}

/** Processes of one user may kill and trace each other: each QEMU has a user of its own. */
function takeUser(
  { firstUserId, userIdCount }: Configuration["hypervisor"],
  undo: UndoStack,
): number | undefined {
  if (userIdCount === 0) return undefined;
  try {
    const { uid, release } = takeQemuUser({ first: firstUserId, count: userIdCount }, USER_LOCKS);
    undo.add("QEMU's user", release);
    return uid;
  } catch (cause) {
    throw new ShimError(StatusCode.RESOURCE_EXHAUSTED, messageOf(cause), { cause });
  }
}
