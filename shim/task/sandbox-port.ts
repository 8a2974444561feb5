/** PROVISIONAL until shim/sandbox/types.ts lands. */
import type { RootfsMount } from "../events/task-events.js";

export interface SandboxSpec {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly configPath: string | undefined;
}

export interface ContainerSpec {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: readonly RootfsMount[];
  readonly terminal: boolean;
}

export interface Sandbox {
  readonly vmmPid: number;
  readonly died: Promise<Error>;
  createContainer(spec: ContainerSpec): Promise<void>;
  startContainer(containerId: string): Promise<void>;
  execProcess(containerId: string, execId: string, process: unknown): Promise<void>;
  signalProcess(containerId: string, execId: string, signal: number, all: boolean): Promise<void>;
  waitProcess(containerId: string, execId: string): Promise<number>;
  readStdout(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array>;
  readStderr(containerId: string, execId: string, maxBytes: number): Promise<Uint8Array>;
  writeStdin(containerId: string, execId: string, data: Uint8Array): Promise<number>;
  closeStdin(containerId: string, execId: string): Promise<void>;
  resizePty(containerId: string, execId: string, columns: number, rows: number): Promise<void>;
  removeContainer(containerId: string): Promise<void>;
  stop(): Promise<void>;
}

export interface SandboxFactory {
  create(spec: SandboxSpec): Promise<Sandbox>;
}
