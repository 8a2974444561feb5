import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { close } from "../../lib/sys/file.js";
import type { NetworkNamespace } from "../../lib/sys/network-namespace.js";
import { connectedPair, MessageSocket } from "../../lib/sys/unix-socket.js";
import { CONSOLE_BYTES, TailBuffer } from "./console.js";
import { qemuArguments, type VmDescription } from "./description.js";
import type { InheritedDescriptors } from "./inherited-descriptors.js";
import { LineSplitter } from "./line-splitter.js";
import { QmpClient, QmpError, type QmpEvent } from "./qmp.js";

/** QEMU that did not start, or ended when it should not have. The message has its last words. */
export class QemuError extends Error {
  override readonly name = "QemuError";
}

/** What a running VM reports. */
export interface VmListener {
  event(event: QmpEvent): void;
  /** A line that the guest wrote to its console. */
  consoleLine(line: string): void;
}

/** How QEMU is started. */
export interface QemuCommand {
  readonly argv: readonly string[];
  /** Added to PATH, which is all that QEMU gets of the shim's environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** What QEMU prints on stderr is a line or two. */
const STDERR_BYTES = 8 * 1024;
const STDERR_LINES_TOLD = 3;
const CONSOLE_LINES_TOLD = 8;

/** A running VM. */
export class QemuProcess {
  /** The end of what the guest wrote to its console. */
  readonly console = new TailBuffer(CONSOLE_BYTES);
  readonly #stderr = new TailBuffer(STDERR_BYTES);
  /** Resolves when QEMU has ended, with what it said last. */
  readonly ended: Promise<QemuError>;
  #qmp: QmpClient | undefined;

  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
    listener: VmListener,
  ) {
    if (child.stdout !== null) {
      child.stdout.on("data", (chunk: Uint8Array) => this.console.append(chunk));
      const lines = new LineSplitter((line) => listener.consoleLine(line));
      child.stdout.on("data", (chunk: Buffer) => lines.push(chunk));
    }
    child.stderr?.on("data", (chunk: Uint8Array) => this.#stderr.append(chunk));
    this.ended = new Promise((resolve) => {
      // "close" comes after the last output, "exit" may come before.
      child.once("close", (code, signal) => resolve(this.#describeEnd(code, signal)));
    });
  }

  /**
   * Starts QEMU and waits until its monitor answers: then its devices are connected, and the guest runs.
   *
   * @param inherited what the description names by number; closed here
   * @param namespace the network namespace that QEMU is to be in
   * @throws QemuError when it cannot be started or ends first.
   */
  static async start(
    { argv, env }: QemuCommand,
    vm: VmDescription,
    inherited: InheritedDescriptors,
    listener: VmListener,
    namespace?: Pick<NetworkNamespace, "run">,
  ): Promise<QemuProcess> {
    const [file = "", ...args] = argv;
    const { PATH = "" } = process.env;
    // A monitor that no other process can reach, and that ends with either side.
    const [ours, qemus] = connectedPair();
    const monitor = new Socket({ fd: ours });
    const start = () =>
      spawn(file, [...args, ...qemuArguments(vm)], {
        env: { PATH, ...env },
        stdio: ["ignore", "pipe", "pipe", qemus, ...inherited.own],
      });
    let child: ChildProcess;
    try {
      child = namespace === undefined ? start() : namespace.run(start);
    } catch (error) {
      monitor.destroy();
      throw error;
    } finally {
      close(qemus);
    }
    inherited.close();
    const pid = child.pid;
    if (pid === undefined) {
      monitor.destroy();
      throw await failureToStart(child, file);
    }
    const qemu = new QemuProcess(child, pid, listener);
    const messages = new MessageSocket(ours);
    try {
      qemu.#qmp = await QmpClient.connect(
        monitor,
        (event) => listener.event(event),
        (line, fd) => messages.send(line, [fd]),
      );
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      child.kill("SIGKILL");
      throw await qemu.ended;
    }
    return qemu;
  }

  /** QEMU's monitor. */
  get qmp(): QmpClient {
    if (this.#qmp === undefined) throw new QemuError("the monitor is not connected");
    return this.#qmp;
  }

  /** Whether the guest's processors run. Of a QEMU that does not answer within the limit it is assumed: nobody has stopped it by its monitor. */
  async isVmRunning(limitMs: number): Promise<boolean> {
    const late = delay(limitMs, { status: "silent" }, { ref: false });
    try {
      const { status } = vmStatus(await Promise.race([this.qmp.execute("query-status"), late]));
      return status !== "paused";
    } catch (error) {
      if (error instanceof QmpError) return true;
      throw error;
    }
  }

  /** Ends QEMU at once and waits for it. Harmless when it has ended. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** The end of the guest's console for an error message, on one line. */
  describeConsole(): string {
    const lines = this.console.tellingLines(CONSOLE_LINES_TOLD);
    return lines.length === 0 ? "its console is silent" : `end of its console: ${lines.join(" | ")}`;
  }

  #describeEnd(code: number | null, signal: NodeJS.Signals | null): QemuError {
    // A guest that powers off or panics ends QEMU in order.
    if (code === 0) return new QemuError(`the guest has stopped; ${this.describeConsole()}`);
    const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
    const words = this.#stderr.lastLines(STDERR_LINES_TOLD).join(" | ");
    const said = words === "" ? "" : `: ${words}`;
    // Nothing that the guest said is no news of a QEMU that did not come so far.
    const guest = this.console.lastLines(1).length === 0 ? "" : `; ${this.describeConsole()}`;
    return new QemuError(`QEMU ended with ${how}${said}${guest}`);
  }
}

/** StatusInfo of QEMU's qapi/run-state.json. */
function vmStatus(answer: unknown): { readonly status: unknown } {
  return typeof answer === "object" && answer !== null && "status" in answer ? answer : { status: undefined };
}

function failureToStart(child: ChildProcess, file: string): Promise<QemuError> {
  return new Promise((resolve) => {
    child.once("error", (cause) =>
      resolve(new QemuError(`QEMU cannot be started: ${file}: ${cause.message}`, { cause })),
    );
  });
}
