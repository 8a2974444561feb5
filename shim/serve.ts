import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createServer } from "../lib/ttrpc/index.js";
import type { ShimArgs } from "./args.js";
import { leaveDeleteResponse } from "./delete-response.js";
import { messageOf } from "./error.js";
import { createEventPublisher } from "./events/publisher.js";
import { Lifetime } from "./lifetime.js";
import type { Listener } from "./listen.js";
import { createLogger, type ShimLogger } from "./log/logger.js";
import { managementService } from "./management-service.js";
import { sandboxService } from "./sandbox-api/sandbox-service.js";
import { writeShimPid } from "./shim-process.js";
import { Controls } from "./task/controls.js";
import type { SandboxFactory } from "./task/sandbox-port.js";
import { taskServices } from "./task/task-service.js";
import { Tasks } from "./task/tasks.js";
import { timeLimitMs } from "./time-limits.js";
import { VERSION } from "./version.js";

/** What the shim runs sandboxes with, given containerd's gRPC socket and the shim's logger. */
export type CreateSandboxFactory = (address: string, logger: ShimLogger) => SandboxFactory;

/**
 * Serves containerd's task API until the last task is gone. SIGTERM does not end it: systemd sends it to everything in
 * containerd's unit, and a VM must not die because containerd is restarted.
 *
 * @returns the process's exit status
 */
export async function serve(
  args: ShimArgs,
  bundle: string,
  listener: Listener,
  createSandboxFactory: CreateSandboxFactory,
): Promise<number> {
  const logger = createLogger(join(bundle, "log"), args.debug ? "debug" : "info", {
    namespace: args.namespace,
    sandbox: args.id,
  });
  writeShimPid(bundle);

  const { TTRPC_ADDRESS } = process.env;
  const events = createEventPublisher(TTRPC_ADDRESS, args.namespace, logger);
  const tasks = new Tasks({
    namespace: args.namespace,
    factory: createSandboxFactory(args.address, logger),
    events,
    logger,
    onContainerGone: leaveDeleteResponse,
  });
  const lifetime = new Lifetime(() => tasks.isEmpty);
  let exitStatus = 0;
  const fail = (error: unknown) => {
    logger.error("unexpected error, the sandbox ends", {
      error: messageOf(error),
      ...(error instanceof Error && { stack: error.stack }),
    });
    exitStatus = 1;
    lifetime.end("unexpected error");
  };
  process.on("uncaughtException", fail);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => logger.info(`${signal} ignored; containerd ends the shim by Shutdown`));
  }

  const shutdown = async () => {
    const isClean = await tasks.vm.stop();
    listener.close();
    if (isClean) await leaveAnswer(bundle, tasks);
    lifetime.end("Shutdown");
  };
  const shutdownIfEmpty = async () => {
    if (tasks.isEmpty) await shutdown();
  };
  const server = createServer({
    services: {
      ...taskServices(tasks, new Controls(tasks, events), { version: VERSION, shutdown: shutdownIfEmpty }),
      ...sandboxService(tasks.vm, { bundle, startOptions: () => readFile("/dev/stdin"), shutdown }),
      ...managementService(tasks, logger.history, VERSION),
    },
    onError: (error, { service, method }) =>
      logger.debug(`${service}/${method}`, { error: messageOf(error) }),
  });
  listener.accept((connection) => {
    lifetime.track(connection);
    server.handle(connection);
  });
  logger.info("shim started", { pid: process.pid, sinceStartMs: Math.round(performance.now()) });

  const reason = await lifetime.ended;
  await tasks.vm.stop();
  listener.close();
  await events.flush(timeLimitMs("shutdownSeconds"));
  await lifetime.connectionsClosed(timeLimitMs("shutdownSeconds"));
  await server.close();
  logger.info("shim ends", { reason });
  return exitStatus;
}

/** For the `delete` that containerd runs for what brought the VM up: a container, or the pod itself. */
async function leaveAnswer(bundle: string, tasks: Tasks): Promise<void> {
  const { lastDeleted } = tasks;
  const { ownSandbox } = tasks.vm;
  if (lastDeleted !== undefined) leaveDeleteResponse(bundle, lastDeleted);
  else if (ownSandbox !== undefined)
    leaveDeleteResponse(bundle, { pid: ownSandbox.pid, exit: await ownSandbox.ended });
}
