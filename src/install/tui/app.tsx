/** The screens: menu of modes, what will be done, doing it with its log, the report. */
import { Box, Text, useApp, useInput } from 'ink';
import { useEffect, useRef, useState } from 'react';
import { VERSION } from '../../common/version.ts';
import { configurable } from '../modes/configure.ts';
import { withInstalledParts } from '../modes/record.ts';
import type { Environment } from '../modes/servers.ts';
import { planFor } from '../plan.ts';
import {
  DEVELOP_PORTS,
  defaultTarget,
  defaultWatch,
  type InstallRequest,
  PACKAGE_PORTS,
} from '../request.ts';
import type { Plan } from '../step.ts';
import { ModeMenu } from './mode-menu.tsx';
import { Review } from './review.tsx';
import { type Result, Work } from './work.tsx';

interface AppProps {
  readonly request: InstallRequest;
  readonly environment: Environment;
  readonly isModeGiven: boolean;
  readonly onStart: () => void;
  readonly onResult: (result: Result) => void;
}

type Screen = 'menu' | 'review' | 'work';

export function App(props: AppProps) {
  const { environment, onResult } = props;
  const [request, setRequest] = useState(props.request);
  const [screen, setScreen] = useState<Screen>(props.isModeGiven ? 'review' : 'menu');
  // Made once: what is there changes while it is carried out.
  const [plan, setPlan] = useState<Plan | null>(null);
  const [isRunning, setRunning] = useState(false);
  const [isCancelled, setCancelled] = useState(false);
  // Of the work that runs; each has its own, since one that was stopped may be begun again.
  const cancel = useRef(new AbortController());
  const { exit } = useApp();
  useInput((input, key) => {
    const wantsOut = (key.ctrl && input === 'c') || (input === 'q' && screen !== 'review');
    if (!wantsOut) return;
    if (!isRunning || isCancelled) {
      exit();
      return;
    }
    setCancelled(true);
    cancel.current.abort();
  });
  const stoppable = (): Environment => ({
    ...environment,
    signal: AbortSignal.any([environment.signal, cancel.current.signal]),
  });
  // Keys reach the screens only once the terminal is in raw mode, which the effect above sees to.
  const [isReady, setReady] = useState(false);
  useEffect(() => setReady(true), []);
  if (!isReady) return <Header />;
  return (
    <Box flexDirection="column" width="100%">
      <Header />
      {screen === 'menu' && (
        <ModeMenu
          request={request}
          onChoose={(mode, maintenance) => {
            // Back from the form and into it again, what was said there stays.
            const isSame =
              mode === request.mode &&
              (maintenance === undefined || maintenance === request.maintenance);
            const chosen: InstallRequest = {
              ...request,
              mode,
              maintenance: maintenance ?? request.maintenance,
              ...(isSame
                ? {}
                : {
                    purge: false,
                    watch: request.isWatchOptional
                      ? defaultWatch({ ...request, mode })
                      : request.watch,
                    ports: mode === 'develop' ? DEVELOP_PORTS : PACKAGE_PORTS,
                    targetPath: defaultTarget(mode, request.envId, process.env),
                  }),
            };
            const isConfigured = mode === 'configure' && !isSame;
            setRequest(isConfigured ? settingsThere(chosen) : withInstalledParts(chosen));
            setScreen('review');
          }}
        />
      )}
      {screen === 'review' && (
        <Review
          request={request}
          environment={environment}
          onChange={setRequest}
          onBack={() => setScreen('menu')}
          onGo={() => {
            cancel.current = new AbortController();
            setCancelled(false);
            setPlan(planFor(request, stoppable()));
            props.onStart();
            setScreen('work');
          }}
        />
      )}
      {screen === 'work' && plan !== null && (
        <Work
          plan={plan}
          environment={stoppable()}
          onRunning={setRunning}
          onResult={onResult}
          onBack={() => setScreen('review')}
        />
      )}
      {isCancelled && isRunning && (
        <Text color="yellow">
          Stopping: waiting for the end of what is being done. q leaves the screen.
        </Text>
      )}
    </Box>
  );
}

/** The settings that are there; of a damaged record the next screen tells. */
function settingsThere(chosen: InstallRequest): InstallRequest {
  try {
    return configurable(chosen);
  } catch {
    return chosen;
  }
}

function Header() {
  return (
    <Box marginBottom={1} justifyContent="space-between">
      <Text bold color="green">
        Backend.AI
      </Text>
      <Text dimColor>
        {VERSION} on {process.platform}-{process.arch}
      </Text>
    </Box>
  );
}
