/** Applications of a session: starting one, and making it reachable through the app proxy. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { ServiceOptions, ServicePlace } from '../../common/protocol/service.ts';
import type { ManagerContext } from '../context.ts';
import { AppProxyClient } from '../resource-group/app-proxy.ts';
import { listAllResourceGroups, loadResourceGroup } from '../resource-group/service.ts';
import { liveSessionHosts } from './app-store.ts';
import { callKernel } from './kernel-call.ts';
import type { SessionRecord } from './service.ts';

export interface AppRequest {
  readonly app: string;
  /** One of the ports that the application has inside the session; null: its first. */
  readonly port: number | null;
  readonly options: ServiceOptions;
}

/** Where an application takes connections, seen from managers and the app proxy. */
export interface StartedApp {
  readonly host: string;
  readonly port: number;
  readonly protocol: string;
}

/** @throws BackendError AppNotFound naming what there is; InvalidAPIParameters. */
function expectStartable({ name, mainKernel }: SessionRecord, { app, port }: AppRequest): void {
  const found = mainKernel.servicePorts.find((one) => one.name === app);
  if (found === undefined) {
    const known = mainKernel.servicePorts.map((one) => one.name).join(', ') || 'none';
    throw new BackendError(
      'AppNotFound',
      `Session '${name}' has no app called '${app}'; there are: ${known}.`,
    );
  }
  if (found.is_inference) {
    throw new BackendError(
      'InvalidAPIParameters',
      `${app} is an inference app. Starting inference apps can only be done by starting an inference service.`,
    );
  }
  if (port !== null && !found.container_ports.includes(port)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `${app} does not open port ${port}; it has ${found.container_ports.join(', ')}.`,
    );
  }
}

function hostPort(app: string, place: ServicePlace, port: number | null): number {
  const index = port === null ? 0 : place.containerPorts.indexOf(port);
  const found = place.hostPorts[index];
  if (found !== undefined) return found;
  throw new BackendError(
    'AppNotFound',
    `${app} runs, but the session's node opens no port for it.`,
  );
}

/**
 * Starts an application unless it runs, and waits until it takes connections.
 * @throws BackendError AppNotFound, InvalidAPIParameters, AppServiceStartFailed with what it said;
 *   KernelNotReady, AgentConnectionUnavailable.
 */
export async function startApp(
  ctx: ManagerContext,
  session: SessionRecord,
  request: AppRequest,
): Promise<StartedApp> {
  expectStartable(session, request);
  const { app: service, options } = request;
  let place: ServicePlace;
  try {
    place = await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
      agent.startService({ kernelId, service, options }),
    );
  } catch (error) {
    if (!(error instanceof BackendError) || error.problem !== 'KernelExecutionFailed') throw error;
    throw new BackendError('AppServiceStartFailed', `${service} did not start: ${error.message}`, {
      data: error.message,
      cause: error,
    });
  }
  return {
    host: place.host,
    port: hostPort(service, place, request.port),
    protocol: place.protocol,
  };
}

/** What a client opens an application with. */
export interface OpenedApp {
  readonly token: string;
  /** Origin of the app proxy, as browsers reach it. */
  readonly proxyUrl: string;
}

/**
 * Starts an application and gives a token for it.
 * @param loginSession of the browser that asked; null for others.
 * @throws BackendError what startApp() throws; ServiceUnavailable without an app proxy;
 *   AppProxyConnectionError, AppProxyResponseError.
 */
export async function openApp(
  ctx: ManagerContext,
  session: SessionRecord,
  request: AppRequest,
  loginSession: string | null,
): Promise<OpenedApp> {
  const group =
    session.scalingGroup === null ? null : await loadResourceGroup(ctx.sql, session.scalingGroup);
  if (!group?.appProxy) {
    throw new BackendError(
      'ServiceUnavailable',
      `The resource group '${session.scalingGroup}' has no app proxy. An administrator can set its wsproxy_addr.`,
    );
  }
  expectStartable(session, request);
  const proxy = new AppProxyClient(ctx.clock, group.appProxy);
  const [{ advertisedUrl }, place] = await Promise.all([
    proxy.status(),
    startApp(ctx, session, request),
  ]);
  const token = await proxy.configure({
    login_session_token: loginSession,
    kernel_host: place.host,
    kernel_port: place.port,
    session: {
      id: session.id,
      user_uuid: session.userId,
      group_id: session.groupId,
      access_key: session.accessKey,
      domain_name: session.domainName,
    },
  });
  return { token, proxyUrl: advertisedUrl };
}

/**
 * Lets app proxies forget sessions that are over, and tells them of sessions that are elsewhere by now.
 * @throws the last failure, after all were asked.
 */
export async function appProxiesPass(ctx: ManagerContext): Promise<void> {
  const proxies = new Map(
    (await listAllResourceGroups(ctx.sql)).flatMap(({ appProxy }) =>
      appProxy === null ? [] : [[appProxy.url, appProxy] as const],
    ),
  );
  const failures: string[] = [];
  for (const address of proxies.values()) {
    const proxy = new AppProxyClient(ctx.clock, address);
    try {
      const known = await proxy.sessions();
      const live = await liveSessionHosts(ctx.sql, [...known.keys()]);
      const ended = [...known.keys()].filter((id) => !live.has(id));
      if (ended.length > 0) await proxy.endSessions(ended);
      const moved = [...live].flatMap(([session_id, kernel_host]) =>
        kernel_host !== null && known.get(session_id)?.some((host) => host !== kernel_host)
          ? [{ session_id, kernel_host }]
          : [],
      );
      if (moved.length > 0) await proxy.moveSessions(moved);
    } catch (error) {
      failures.push(errorMessage(error));
    }
  }
  if (failures.length > 0) throw new Error(failures.join('; '));
}

/** Ends an app of a session. @throws BackendError when its agent cannot be asked. */
export async function endApp(
  ctx: ManagerContext,
  session: SessionRecord,
  service: string,
): Promise<void> {
  await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
    agent.shutdownService({ kernelId, service }),
  );
}
