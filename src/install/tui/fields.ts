/** What of a request can be changed on the screen, and which texts are taken. */
import { resolve } from 'node:path';
import type { InstallRequest } from '../request.ts';

export interface Field {
  readonly label: string;
  readonly value: string;
  /** Enter goes from one to the next. Free text without. */
  readonly choices?: readonly string[];
  /** @returns the changed request, or why the text is not taken. */
  accept(text: string): InstallRequest | string;
}

const BACKENDS = ['process', 'docker', 'dummy'] as const;

export function fieldsOf(request: InstallRequest): Field[] {
  const folder: Field = {
    label: 'Folder',
    value: request.targetPath,
    accept: (text) =>
      text.trim() === '' ? 'A folder is needed.' : { ...request, targetPath: resolve(text.trim()) },
  };
  const publicAddress: Field = {
    label: 'Public address',
    value: request.publicAddress,
    accept: (text) =>
      /^[\w.:[\]-]+$/.test(text)
        ? { ...request, publicAddress: text }
        : 'That is neither a host name nor an address.',
  };
  const backend: Field = {
    label: 'Sessions run as',
    value: request.agentBackend,
    choices: BACKENDS,
    accept(text) {
      const agentBackend = BACKENDS.find((name) => name === text);
      return agentBackend ? { ...request, agentBackend } : `One of ${BACKENDS.join(', ')}.`;
    },
  };
  const purge: Field = {
    label: 'Delete data too',
    value: request.purge ? 'yes' : 'no',
    choices: ['no', 'yes'],
    accept: (text) => ({ ...request, purge: text === 'yes' }),
  };
  if (request.mode === 'standalone') return [folder];
  if (request.mode !== 'maintain') return [folder, publicAddress, backend];
  return request.maintenance === 'uninstall' ? [folder, purge] : [folder];
}
