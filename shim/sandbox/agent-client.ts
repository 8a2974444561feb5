import { type Codec, callUnary, StatusCode, type TtrpcClient, TtrpcError } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import { timeLimitMs } from "../time-limits.js";

const AGENT_SERVICE = "grpc.AgentService";
const HOST_EVENTS_SERVICE = "katafs.HostEvents";
const HEALTH_SERVICE = "grpc.Health";

/** One call of the agent's protocol that may take as long as it takes: the end of a process, the next output. */
const UNLIMITED = {};

/** The calls of Kata's agent that the shim makes. Each throws the TtrpcError that the agent answered. */
export class AgentClient {
  constructor(private readonly client: TtrpcClient) {}

  /** Resolves when the connection is gone. */
  get closed(): Promise<void> {
    return this.client.closed;
  }

  close(): void {
    this.client.close();
  }

  async check(): Promise<void> {
    const options = { timeoutMs: timeLimitMs("agentCheckSeconds") };
    await callUnary(
      this.client,
      HEALTH_SERVICE,
      "Check",
      agent.CheckRequest,
      agent.HealthCheckResponse,
      {},
      options,
    );
  }

  /** Has programs in the guest woken that wait for these. @throws TtrpcError UNIMPLEMENTED from an agent that is not ours */
  replay(request: agent.ReplayRequest.$Properties): Promise<agent.ReplayResponse.$Properties> {
    const options = { timeoutMs: timeLimitMs("agentCallSeconds") };
    return callUnary(
      this.client,
      HOST_EVENTS_SERVICE,
      "Replay",
      agent.ReplayRequest,
      agent.ReplayResponse,
      request,
      options,
    );
  }

  /** What the guest counts, in Prometheus' text format; nothing from an agent without it. @throws TtrpcError */
  async metrics(): Promise<string> {
    try {
      const { metrics } = await this.#call("GetMetrics", agent.GetMetricsRequest, agent.Metrics, {});
      return metrics;
    } catch (error) {
      if (error instanceof TtrpcError && error.code === StatusCode.UNIMPLEMENTED) return "";
      throw error;
    }
  }

  updateInterface(wanted: agent.Interface.$Properties): Promise<unknown> {
    return this.#call("UpdateInterface", agent.UpdateInterfaceRequest, agent.Interface, {
      interface: wanted,
    });
  }

  updateRoutes(routes: readonly agent.Route.$Properties[]): Promise<unknown> {
    const request = { routes: { Routes: [...routes] } };
    return this.#call("UpdateRoutes", agent.UpdateRoutesRequest, agent.Routes, request);
  }

  addArpNeighbors(neighbours: readonly agent.ARPNeighbor.$Properties[]): Promise<unknown> {
    const request = { neighbors: { ARPNeighbors: [...neighbours] } };
    return this.#call("AddARPNeighbors", agent.AddARPNeighborsRequest, agent.Empty, request);
  }

  createSandbox(request: agent.CreateSandboxRequest.$Properties): Promise<unknown> {
    return this.#call("CreateSandbox", agent.CreateSandboxRequest, agent.Empty, request);
  }

  /** Sets the guest's clock. @param timeMs since 1970, as of Date.now() */
  setClock(timeMs: number): Promise<unknown> {
    const request = { Sec: Math.floor(timeMs / 1000), Usec: (timeMs % 1000) * 1000 };
    return this.#call("SetGuestDateTime", agent.SetGuestDateTimeRequest, agent.Empty, request);
  }

  destroySandbox(): Promise<unknown> {
    const options = { timeoutMs: timeLimitMs("agentEndSeconds") };
    return this.#call("DestroySandbox", agent.DestroySandboxRequest, agent.Empty, {}, options);
  }

  /** Has plugged processors brought online. @param total those that are online then */
  onlineCpus(total: number): Promise<unknown> {
    const request = { nb_cpus: total, cpu_only: true };
    return this.#call("OnlineCPUMem", agent.OnlineCPUMemRequest, agent.Empty, request);
  }

  /** Has plugged memory brought online. */
  onlineMemory(): Promise<unknown> {
    return this.#call("OnlineCPUMem", agent.OnlineCPUMemRequest, agent.Empty, {});
  }

  /** What the guest's kernel says of plugging memory: the size of a block, 0 where it cannot, and whether it must be told of each. */
  async memoryHotplug(): Promise<{ blockBytes: number; needsProbe: boolean }> {
    const details = await this.#call(
      "GetGuestDetails",
      agent.GuestDetailsRequest,
      agent.GuestDetailsResponse,
      {
        mem_block_size: true,
        mem_hotplug_probe: true,
      },
    );
    return { blockBytes: details.mem_block_size_bytes, needsProbe: details.support_mem_hotplug_probe };
  }

  /** Tells the guest's kernel of plugged memory. @param addresses of its blocks, in the guest */
  probeMemory(addresses: readonly number[]): Promise<unknown> {
    const request = { memHotplugProbeAddr: [...addresses] };
    return this.#call("MemHotplugByProbe", agent.MemHotplugByProbeRequest, agent.Empty, request);
  }

  createContainer(request: agent.CreateContainerRequest.$Properties): Promise<unknown> {
    return this.#call("CreateContainer", agent.CreateContainerRequest, agent.Empty, request);
  }

  startContainer(containerId: string): Promise<unknown> {
    return this.#call("StartContainer", agent.StartContainerRequest, agent.Empty, {
      container_id: containerId,
    });
  }

  pauseContainer(containerId: string): Promise<unknown> {
    return this.#call("PauseContainer", agent.PauseContainerRequest, agent.Empty, {
      container_id: containerId,
    });
  }

  resumeContainer(containerId: string): Promise<unknown> {
    return this.#call("ResumeContainer", agent.ResumeContainerRequest, agent.Empty, {
      container_id: containerId,
    });
  }

  updateContainer(containerId: string, resources: agent.LinuxResources.$Properties): Promise<unknown> {
    const request = { container_id: containerId, resources };
    return this.#call("UpdateContainer", agent.UpdateContainerRequest, agent.Empty, request);
  }

  statsContainer(containerId: string): Promise<agent.StatsContainerResponse> {
    const request = { container_id: containerId };
    return this.#call("StatsContainer", agent.StatsContainerRequest, agent.StatsContainerResponse, request);
  }

  removeContainer(containerId: string): Promise<unknown> {
    return this.#call("RemoveContainer", agent.RemoveContainerRequest, agent.Empty, {
      container_id: containerId,
    });
  }

  execProcess(request: agent.ExecProcessRequest.$Properties): Promise<unknown> {
    return this.#call("ExecProcess", agent.ExecProcessRequest, agent.Empty, request);
  }

  signalProcess(containerId: string, execId: string, signal: number): Promise<unknown> {
    const request = { container_id: containerId, exec_id: execId, signal };
    return this.#call("SignalProcess", agent.SignalProcessRequest, agent.Empty, request);
  }

  /** @returns the exit status */
  async waitProcess(containerId: string, execId: string): Promise<number> {
    const request = { container_id: containerId, exec_id: execId };
    const { status } = await this.#call(
      "WaitProcess",
      agent.WaitProcessRequest,
      agent.WaitProcessResponse,
      request,
      UNLIMITED,
    );
    return status;
  }

  /** Waits for the next container whose processes the guest's kernel ended for want of memory. @returns its id */
  async nextOom(): Promise<string> {
    const { container_id } = await this.#call(
      "GetOOMEvent",
      agent.GetOOMEventRequest,
      agent.OOMEvent,
      {},
      UNLIMITED,
    );
    return container_id;
  }

  /** @returns nothing at the end of the stream */
  async readStream(
    stream: "ReadStdout" | "ReadStderr",
    containerId: string,
    execId: string,
    maxBytes: number,
  ): Promise<Uint8Array> {
    const request = { container_id: containerId, exec_id: execId, len: maxBytes };
    const { data } = await this.#call(
      stream,
      agent.ReadStreamRequest,
      agent.ReadStreamResponse,
      request,
      UNLIMITED,
    );
    return data;
  }

  /** @returns how many bytes the agent took */
  async writeStdin(containerId: string, execId: string, data: Uint8Array): Promise<number> {
    const request = { container_id: containerId, exec_id: execId, data };
    const { len } = await this.#call(
      "WriteStdin",
      agent.WriteStreamRequest,
      agent.WriteStreamResponse,
      request,
      UNLIMITED,
    );
    return len;
  }

  closeStdin(containerId: string, execId: string): Promise<unknown> {
    const request = { container_id: containerId, exec_id: execId };
    return this.#call("CloseStdin", agent.CloseStdinRequest, agent.Empty, request);
  }

  resizeTerminal(containerId: string, execId: string, columns: number, rows: number): Promise<unknown> {
    const request = { container_id: containerId, exec_id: execId, row: rows, column: columns };
    return this.#call("TtyWinResize", agent.TtyWinResizeRequest, agent.Empty, request);
  }

  #call<I, O>(
    method: string,
    input: Pick<Codec<I, unknown>, "encode">,
    output: Pick<Codec<never, O>, "decode">,
    request: I,
    options: { readonly timeoutMs?: number } = { timeoutMs: timeLimitMs("agentCallSeconds") },
  ): Promise<O> {
    return callUnary(this.client, AGENT_SERVICE, method, input, output, request, options);
  }
}
