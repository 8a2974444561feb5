import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import type { Codec } from "../../lib/ttrpc/index.js";
import { cri } from "../../proto/index.js";

const RUNTIME_SERVICE = "runtime.v1.RuntimeService";
/** A VM boots within one call; on a busy machine without KVM that takes a while. */
const CALL_LIMIT_MS = 120_000;

type Encoder<I> = Pick<Codec<I, unknown>, "encode">;
type Decoder<O> = Pick<Codec<never, O>, "decode">;

/** What a kubelet asks of its container runtime, by gRPC on containerd's socket. Calls fail with the ServiceError of grpc-js. */
export class CriClient {
  readonly #client: Client;

  /** @param address path of containerd's socket */
  constructor(address: string) {
    this.#client = new Client(`unix://${address}`, credentials.createInsecure());
  }

  close(): void {
    this.#client.close();
  }

  version(): Promise<cri.VersionResponse> {
    return this.#call("Version", cri.VersionRequest, cri.VersionResponse, {});
  }

  status(): Promise<cri.StatusResponse> {
    return this.#call("Status", cri.StatusRequest, cri.StatusResponse, {});
  }

  /** @returns the sandbox's id */
  async runPodSandbox(request: cri.RunPodSandboxRequest.$Properties): Promise<string> {
    const { RunPodSandboxRequest, RunPodSandboxResponse } = cri;
    const answer = await this.#call("RunPodSandbox", RunPodSandboxRequest, RunPodSandboxResponse, request);
    return answer.pod_sandbox_id;
  }

  stopPodSandbox(pod_sandbox_id: string): Promise<unknown> {
    return this.#call("StopPodSandbox", cri.PodSandboxRequest, cri.Empty, { pod_sandbox_id });
  }

  removePodSandbox(pod_sandbox_id: string): Promise<unknown> {
    return this.#call("RemovePodSandbox", cri.PodSandboxRequest, cri.Empty, { pod_sandbox_id });
  }

  async podSandboxStatus(pod_sandbox_id: string): Promise<cri.PodSandboxStatus> {
    const { PodSandboxRequest, PodSandboxStatusResponse } = cri;
    const request = { pod_sandbox_id };
    return (await this.#call("PodSandboxStatus", PodSandboxRequest, PodSandboxStatusResponse, request))
      .status;
  }

  async podSandboxStats(pod_sandbox_id: string): Promise<cri.PodSandboxStats> {
    const { PodSandboxRequest, PodSandboxStatsResponse } = cri;
    const request = { pod_sandbox_id };
    return (await this.#call("PodSandboxStats", PodSandboxRequest, PodSandboxStatsResponse, request)).stats;
  }

  async listPodSandbox(): Promise<cri.PodSandbox[]> {
    return (await this.#call("ListPodSandbox", cri.Empty, cri.ListPodSandboxResponse, {})).items;
  }

  /** @returns the container's id */
  async createContainer(request: cri.CreateContainerRequest.$Properties): Promise<string> {
    const { CreateContainerRequest, CreateContainerResponse } = cri;
    return (await this.#call("CreateContainer", CreateContainerRequest, CreateContainerResponse, request))
      .container_id;
  }

  startContainer(container_id: string): Promise<unknown> {
    return this.#call("StartContainer", cri.ContainerRequest, cri.Empty, { container_id });
  }

  /** @param timeoutSeconds between SIGTERM and SIGKILL */
  stopContainer(container_id: string, timeoutSeconds: number): Promise<unknown> {
    const request = { container_id, timeout: timeoutSeconds };
    return this.#call("StopContainer", cri.StopContainerRequest, cri.Empty, request);
  }

  removeContainer(container_id: string): Promise<unknown> {
    return this.#call("RemoveContainer", cri.ContainerRequest, cri.Empty, { container_id });
  }

  async containerStatus(container_id: string): Promise<cri.ContainerStatus> {
    const request = { container_id };
    return (await this.#call("ContainerStatus", cri.ContainerRequest, cri.ContainerStatusResponse, request))
      .status;
  }

  async containerStats(container_id: string): Promise<cri.ContainerStats> {
    const request = { container_id };
    return (await this.#call("ContainerStats", cri.ContainerRequest, cri.ContainerStatsResponse, request))
      .stats;
  }

  async listContainers(): Promise<cri.Container[]> {
    return (await this.#call("ListContainers", cri.Empty, cri.ListContainersResponse, {})).containers;
  }

  updateContainerResources(
    container_id: string,
    linux: cri.LinuxContainerResources.$Properties,
  ): Promise<unknown> {
    const request = { container_id, linux };
    return this.#call("UpdateContainerResources", cri.UpdateContainerResourcesRequest, cri.Empty, request);
  }

  execSync(container_id: string, cmd: string[], timeoutSeconds = 60): Promise<cri.ExecSyncResponse> {
    const request = { container_id, cmd, timeout: timeoutSeconds };
    return this.#call("ExecSync", cri.ExecSyncRequest, cri.ExecSyncResponse, request);
  }

  /** @returns the address of a stream: see stream.ts */
  async exec(request: cri.ExecRequest.$Properties): Promise<string> {
    return (await this.#call("Exec", cri.ExecRequest, cri.StreamResponse, request)).url;
  }

  /** @returns as {@link exec} */
  async attach(request: cri.AttachRequest.$Properties): Promise<string> {
    return (await this.#call("Attach", cri.AttachRequest, cri.StreamResponse, request)).url;
  }

  #call<I, O>(method: string, input: Encoder<I>, output: Decoder<O>, request: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<I, O>(
        `/${RUNTIME_SERVICE}/${method}`,
        (message) => Buffer.from(input.encode(message).finish()),
        (bytes) => output.decode(bytes),
        request,
        { deadline: Date.now() + CALL_LIMIT_MS },
        (error: ServiceError | null, answer?: O) => {
          if (error !== null) reject(error);
          else if (answer === undefined) reject(new Error(`${method}: no answer`));
          else resolve(answer);
        },
      );
    });
  }
}
