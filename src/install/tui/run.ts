/** Shows the installer's screens and ends with the exit code of what was done. */
import { render } from 'ink';
import { createElement } from 'react';
import type { Environment } from '../modes/servers.ts';
import type { InstallRequest } from '../request.ts';
import { App } from './app.tsx';

const CANCELLED_EXIT_CODE = 130;

/** @param isModeGiven whether the menu of modes is skipped. */
export async function runScreens(
  request: InstallRequest,
  environment: Environment,
  { isModeGiven }: { readonly isModeGiven: boolean },
): Promise<number> {
  const cancel = new AbortController();
  const signal = AbortSignal.any([environment.signal, cancel.signal]);
  let exitCode = CANCELLED_EXIT_CODE;
  const app = render(
    createElement(App, {
      request,
      environment: { ...environment, signal },
      isModeGiven,
      onCancel: () => cancel.abort(),
      onResult: (code: number) => {
        exitCode = code;
      },
    }),
    // The app decides itself: the first ^C cancels what runs, the second quits.
    { exitOnCtrlC: false },
  );
  environment.signal.addEventListener('abort', () => app.unmount(), { once: true });
  await app.waitUntilExit();
  return exitCode;
}
