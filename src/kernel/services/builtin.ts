/** Definitions of well-known services, for images and nodes that have one without saying how it starts. */
import * as v from 'valibot';
import { type ServiceDefinition, serviceDefinition } from './definition.ts';

/** Understood by the classic notebook and by all that is built on the Jupyter server. */
const jupyterConfig = ['ServerApp', 'NotebookApp'].flatMap((app) => [
  `c.${app}.ip = "{host}"`,
  `c.${app}.port = {ports[0]}`,
  `c.${app}.port_retries = 0`,
  `c.${app}.token = ""`,
  `c.${app}.password = ""`,
  `c.${app}.allow_root = True`,
  `c.${app}.allow_remote_access = True`,
  `c.${app}.open_browser = False`,
  `c.${app}.terminado_settings = {{"shell_command": ["{shell}"]}}`,
  `c.${app}.tornado_settings = {{"ws_ping_interval": 10000, "headers": {{"Content-Security-Policy": "frame-ancestors *"}}}}`,
]);

interface WellKnown {
  /** The words of its command where the image has it. */
  readonly inImage: readonly string[];
  /** What follows either way. */
  readonly options: readonly string[];
  readonly rest: Omit<v.InferInput<typeof serviceDefinition>, 'command'>;
}

const jupyter = (module: string): WellKnown => ({
  inImage: ['{runtime_path}', '-m', module],
  options: ['--no-browser', '--config', '{jupyter_cfg}'],
  rest: {
    prestart: [
      {
        action: 'write_tempfile',
        args: { body: [...jupyterConfig, 'c.FileContentsManager.delete_to_trash = False'] },
        ref: 'jupyter_cfg',
      },
    ],
  },
});

const wellKnown: ReadonlyMap<string, WellKnown> = new Map([
  ['jupyter', jupyter('notebook')],
  ['jupyterlab', jupyter('jupyterlab')],
  [
    'vscode',
    {
      inImage: ['code-server'],
      options: ['--bind-addr', '{host}:{ports[0]}', '--disable-telemetry'],
      rest: {
        allowed_arguments: ['--auth'],
        allowed_envs: ['PASSWORD'],
        default_arguments: { '--auth': 'none' },
      },
    },
  ],
  [
    'tensorboard',
    {
      inImage: ['{runtime_path}', '-m', 'tensorboard.main'],
      options: ['--host', '{host}', '--port', '{ports[0]}'],
      rest: {
        prestart: [{ action: 'mkdir', args: { path: 'logs' } }],
        allowed_arguments: ['--logdir'],
        default_arguments: { '--logdir': 'logs' },
      },
    },
  ],
]);

/**
 * How a well-known service is started; null for any other.
 * @param program the node's own program for it; the image's when null.
 */
export function builtinService(name: string, program: string | null): ServiceDefinition | null {
  const known = wellKnown.get(name);
  if (known === undefined) return null;
  const { inImage, options, rest } = known;
  const words = program === null ? inImage : [program.replace(/[{}]/g, '$&$&')];
  return v.parse(serviceDefinition, { ...rest, command: [...words, ...options] });
}

const programs = v.record(v.string(), v.string());
/** Name of a well-known service → path of the program that is it. */
export type ServicePrograms = Readonly<v.InferOutput<typeof programs>>;

/** Reads what the agent tells in the environment; nothing told is none. */
export const parseServicePrograms = (text: string | undefined): ServicePrograms =>
  text ? v.parse(programs, JSON.parse(text)) : {};
