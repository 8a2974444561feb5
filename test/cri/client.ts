import { cri } from "../../proto/index.js";
import { GrpcClient } from "../grpc-client.js";

const RUNTIME_SERVICE = "runtime.v1.RuntimeService";
/** What a kubelet asks of its container runtime, by gRPC on containerd's socket. Calls fail with the ServiceError of grpc-js. */
export class CriClient {
  readonly #client: GrpcClient;

  /** @param address path of containerd's socket */
  constructor(address: string) {
    this.#client = new GrpcClient(address, RUNTIME_SERVICE);
  }

  close(): void {
    this.#client.close();
  }

  version(): Promise<cri.VersionResponse> {
    return this.#client.call("Version", cri.VersionRequest, cri.VersionResponse, {});
  }

  status(): Promise<cri.StatusResponse> {
    return this.#client.call("Status", cri.StatusRequest, cri.StatusResponse, {});
  }

  /** @returns the sandbox's id */
  async runPodSandbox(request: cri.RunPodSandboxRequest.$Properties): Promise<string> {
    const { RunPodSandboxRequest, RunPodSandboxResponse } = cri;
    const answer = await this.#client.call(
      "RunPodSandbox",
      RunPodSandboxRequest,
      RunPodSandboxResponse,
      request,
    );
    return answer.pod_sandbox_id;
  }

  stopPodSandbox(pod_sandbox_id: string): Promise<unknown> {
    return this.#client.call("StopPodSandbox", cri.PodSandboxRequest, cri.Empty, { pod_sandbox_id });
  }

  removePodSandbox(pod_sandbox_id: string): Promise<unknown> {
    return this.#client.call("RemovePodSandbox", cri.PodSandboxRequest, cri.Empty, { pod_sandbox_id });
  }

  async podSandboxStatus(pod_sandbox_id: string): Promise<cri.PodSandboxStatus> {
    const { PodSandboxRequest, PodSandboxStatusResponse } = cri;
    const request = { pod_sandbox_id };
    return (await this.#client.call("PodSandboxStatus", PodSandboxRequest, PodSandboxStatusResponse, request))
      .status;
  }

  async podSandboxStats(pod_sandbox_id: string): Promise<cri.PodSandboxStats> {
    const { PodSandboxRequest, PodSandboxStatsResponse } = cri;
    const request = { pod_sandbox_id };
    return (await this.#client.call("PodSandboxStats", PodSandboxRequest, PodSandboxStatsResponse, request))
      .stats;
  }

  async listPodSandbox(): Promise<cri.PodSandbox[]> {
    return (await this.#client.call("ListPodSandbox", cri.Empty, cri.ListPodSandboxResponse, {})).items;
  }

  /** @returns the container's id */
  async createContainer(request: cri.CreateContainerRequest.$Properties): Promise<string> {
    const { CreateContainerRequest, CreateContainerResponse } = cri;
    return (
      await this.#client.call("CreateContainer", CreateContainerRequest, CreateContainerResponse, request)
    ).container_id;
  }

  startContainer(container_id: string): Promise<unknown> {
    return this.#client.call("StartContainer", cri.ContainerRequest, cri.Empty, { container_id });
  }

  /** @param timeoutSeconds between SIGTERM and SIGKILL */
  stopContainer(container_id: string, timeoutSeconds: number): Promise<unknown> {
    const request = { container_id, timeout: timeoutSeconds };
    return this.#client.call("StopContainer", cri.StopContainerRequest, cri.Empty, request);
  }

  removeContainer(container_id: string): Promise<unknown> {
    return this.#client.call("RemoveContainer", cri.ContainerRequest, cri.Empty, { container_id });
  }

  async containerStatus(container_id: string): Promise<cri.ContainerStatus> {
    const request = { container_id };
    return (
      await this.#client.call("ContainerStatus", cri.ContainerRequest, cri.ContainerStatusResponse, request)
    ).status;
  }

  async containerStats(container_id: string): Promise<cri.ContainerStats> {
    const request = { container_id };
    return (
      await this.#client.call("ContainerStats", cri.ContainerRequest, cri.ContainerStatsResponse, request)
    ).stats;
  }

  async listContainers(): Promise<cri.Container[]> {
    return (await this.#client.call("ListContainers", cri.Empty, cri.ListContainersResponse, {})).containers;
  }

  updateContainerResources(
    container_id: string,
    linux: cri.LinuxContainerResources.$Properties,
  ): Promise<unknown> {
    const request = { container_id, linux };
    return this.#client.call(
      "UpdateContainerResources",
      cri.UpdateContainerResourcesRequest,
      cri.Empty,
      request,
    );
  }

  execSync(container_id: string, cmd: string[], timeoutSeconds = 60): Promise<cri.ExecSyncResponse> {
    const request = { container_id, cmd, timeout: timeoutSeconds };
    return this.#client.call("ExecSync", cri.ExecSyncRequest, cri.ExecSyncResponse, request);
  }

  /** @returns the address of a stream: see stream.ts */
  async exec(request: cri.ExecRequest.$Properties): Promise<string> {
    return (await this.#client.call("Exec", cri.ExecRequest, cri.StreamResponse, request)).url;
  }

  /** @returns as {@link exec} */
  async attach(request: cri.AttachRequest.$Properties): Promise<string> {
    return (await this.#client.call("Attach", cri.AttachRequest, cri.StreamResponse, request)).url;
  }

  /** @returns the address of a stream: see port-stream.ts */
  async portForward(pod_sandbox_id: string, port: number): Promise<string> {
    const request = { pod_sandbox_id, port: [port] };
    return (await this.#client.call("PortForward", cri.PortForwardRequest, cri.StreamResponse, request)).url;
  }
}
