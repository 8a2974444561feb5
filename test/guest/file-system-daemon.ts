import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** What each kind of daemon says on stderr when it can be connected to. */
const READY = /Waiting for vhost-user socket connection/;
const QUEUE_ENTRIES = 512;

/** A running kata-fsd or virtiofsd. */
export class FileSystemDaemon {
  private constructor(
    private readonly child: ChildProcess,
    /** What it said on stderr, line by line. */
    readonly lines: readonly string[],
  ) {}

  /** Starts `command` and waits until it can be connected to. @throws Error with its words when it ends instead */
  static async start(command: readonly string[]): Promise<FileSystemDaemon> {
    const [file = "", ...args] = command;
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
    const lines: string[] = [];
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`${file} ended: ${lines.join(" | ")}`)));
      createInterface({ input: child.stderr }).on("line", (line) => {
        lines.push(line);
        if (READY.test(line)) resolve();
      });
    });
    return new FileSystemDaemon(child, lines);
  }

  /** Of the launcher, in the case of kata-fsd. */
  get pid(): number {
    if (this.child.pid === undefined) throw new Error("the daemon was not started");
    return this.child.pid;
  }

  /** Its exit status, or the name of the signal that ended it, once its front end has gone. */
  async ended(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Ends it at once. Harmless when it has ended. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended();
  }
}

/** QEMU's arguments for a virtio-fs device as every QEMU since 4.2 has it. */
export function plainDevice(socketPath: string, tag: string): string[] {
  return [...chardev(tag, socketPath), "-device", `vhost-user-fs-pci,chardev=${tag},tag=${tag}`];
}

/** QEMU's arguments for a virtio-fs device with a DAX window: QEMU 11.1 and newer. The daemon names the tag. */
export function daxDevice(socketPath: string, name: string): string[] {
  const device = `vhost-user-test-device-pci,chardev=${name},virtio-id=26,num_vqs=2,vq_size=${QUEUE_ENTRIES},config_size=44`;
  return [...chardev(name, socketPath), "-device", device];
}

function chardev(id: string, socketPath: string): string[] {
  return ["-chardev", `socket,id=${id},path=${socketPath}`];
}
