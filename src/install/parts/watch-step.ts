/** Starts and stops, with compose, what sees into a cluster. */
import { existsSync } from 'node:fs';
import type { Clock } from '../../common/clock.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Layout, Secrets } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import type { Step, StepContext } from '../step.ts';
import { findCompose } from './compose.ts';
import {
  ALL_PROFILES,
  PULL_TIMEOUT_MS,
  projectName,
  runCompose,
  UP_TIMEOUT_MS,
  writeHalfstackFiles,
} from './halfstack.ts';
import {
  allServices,
  areWatchFilesWritten,
  unwantedServices,
  WATCH_TITLES,
  wantedServices,
  watcherUrls,
  watchFilePath,
} from './watching.ts';

/** Longest wait for the first answer of each. */
const ANSWER_TIMEOUT_MS = 2 * 60_000;
const POLL_MS = 200;
const ASK_TIMEOUT_MS = 2_000;

/** Any answer will do: Loki and Tempo call themselves unready for a while. */
async function waitForWatchers(request: InstallRequest, clock: Clock, context: StepContext) {
  const deadlineMs = clock.monotonicMs() + ANSWER_TIMEOUT_MS;
  for (const { title, url } of watcherUrls(request)) {
    context.progress(`waiting for ${title}`);
    const answers = () =>
      fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(ASK_TIMEOUT_MS) }).then(
        () => true,
        () => false,
      );
    while (!(await answers())) {
      context.signal.throwIfAborted();
      if (clock.monotonicMs() > deadlineMs) {
        throw new UserError(`${title} does not answer at ${url}`, {
          hint: `Why is in its log: docker (or podman) compose --project-name ${projectName(request.envId)} logs`,
        });
      }
      await clock.sleep(POLL_MS);
    }
  }
}

/**
 * Starts what the request wants beside the servers, and stops what it does not want any more.
 * @throws UserError when that fails.
 */
export async function startWatching(
  request: InstallRequest,
  layout: Layout,
  secrets: () => Secrets,
  clock: Clock,
  context: StepContext,
): Promise<void> {
  const compose = await findCompose(context.signal);
  const place = { layout, envId: request.envId };
  const run = (args: readonly string[], timeoutMs: number, profiles: readonly string[]) =>
    runCompose(compose, place, args, context, timeoutMs, profiles);
  const { watch } = request;
  // Also those whose files change: compose would leave them as they are.
  const ended = areWatchFilesWritten(request, layout) ? unwantedServices(watch) : allServices();
  if (existsSync(watchFilePath(layout)) && ended.length > 0) {
    await run(['rm', '--stop', '--force', ...ended], UP_TIMEOUT_MS, ALL_PROFILES);
  }
  writeHalfstackFiles(request, layout, secrets());
  if (watch === 'nothing') return;
  context.progress('fetching images, which may take minutes');
  const services = wantedServices(watch);
  await run(['create', ...services], PULL_TIMEOUT_MS, [watch]);
  context.progress('starting the containers');
  await run(['up', '--detach', ...services], UP_TIMEOUT_MS, [watch]);
  await waitForWatchers(request, clock, context);
}

/** @param doWithout what is to be changed when it is optional and cannot be started. */
export function watchStep(
  request: InstallRequest,
  layout: Layout,
  secrets: () => Secrets,
  clock: Clock,
  doWithout: (context: StepContext) => Promise<void>,
): Step {
  const { watch, isWatchOptional } = request;
  return {
    id: 'watch',
    title:
      watch === 'nothing'
        ? `Stop what sees into the cluster`
        : `Start ${WATCH_TITLES[watch]} with compose`,
    async run(context) {
      try {
        await startWatching(request, layout, secrets, clock, context);
      } catch (error) {
        if (!isWatchOptional || context.signal.aborted) throw error;
        context.log(`It goes on without: ${errorMessage(error)}`);
        context.log('--enable-telemetry insists, --disable-telemetry leaves it out.');
        await doWithout(context);
      }
    },
  };
}
